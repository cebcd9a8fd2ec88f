//! Tables with a header line, row by row, with a bound on what one row may take.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::input::{Input, Limits, RecordLimit, unreadable};
use super::report::Problem;

/// A table that is being read.
pub(super) struct Rows {
    path: PathBuf,
    reader: csv::Reader<RecordLimit<Box<dyn Read>>>,
    /// Names of the columns, without blanks around them.
    pub(super) columns: Vec<String>,
}

/// One row; reused from row to row.
#[derive(Default)]
pub(super) struct Row {
    record: csv::ByteRecord,
    /// Its line, counted from 1.
    pub(super) line: u64,
    text: Vec<u8>,
}

impl Row {
    /// A cell without blanks around it; `None` where it is empty, absent or not text.
    pub(super) fn cell(&self, column: usize) -> Option<&str> {
        let text = std::str::from_utf8(self.record.get(column)?).ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The beginning of the row for people, cells separated by bars.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many cells it has.
    pub(super) fn len(&self) -> usize {
        self.record.len()
    }
}

impl Rows {
    /// Reads the header. Cells may be quoted except where tabs separate them, as no writer of job logs quotes there.
    pub(super) fn open(path: &Path, input: Input, delimiter: u8, limits: &Limits) -> Result<Self, Problem> {
        let content: Box<dyn Read> = Box::new(input.into_reader());
        let bounded = RecordLimit::new(content, limits.line_bytes);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .quoting(delimiter != b'\t')
            .flexible(true)
            .from_reader(bounded);
        let columns = match reader.byte_headers() {
            Ok(header) => header
                .iter()
                .map(|name| String::from_utf8_lossy(name).trim().to_owned())
                .collect(),
            Err(error) => return Err(failed(path, &error)),
        };
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            columns,
        })
    }

    /// The next row; `false` at the end.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<bool, Problem> {
        self.reader.get_mut().reset();
        let more = self
            .reader
            .read_byte_record(&mut row.record)
            .map_err(|error| failed(&self.path, &error))?;
        row.text.clear();
        for cell in row.record.iter().take(12) {
            row.text.extend_from_slice(cell.get(..40).unwrap_or(cell));
            row.text.extend_from_slice(b" | ");
        }
        row.line = row.record.position().map_or(0, csv::Position::line);
        Ok(more)
    }
}

fn failed(path: &Path, error: &csv::Error) -> Problem {
    let line = error.position().map_or(0, csv::Position::line);
    if let csv::ErrorKind::Io(error) = error.kind() {
        return unreadable(path, line, error);
    }
    Problem::new(
        path,
        format!("a table that cannot be read: {error}"),
        "a table with a header",
    )
}
