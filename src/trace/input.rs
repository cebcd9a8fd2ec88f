//! Bytes in: files that may be packed, read once from front to back, with a bound on everything.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::report::Problem;
use crate::units::{to_u64, to_usize};

/// How much is read of a file before its format is decided.
const HEAD_BYTES: u64 = 64 * 1024;

/// One block of a line reader. Large, so that the cost of a read call vanishes; small enough for the processor's cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// Bounds on what a reader takes in, so that a wrong or hostile file ends in an error and not in a full memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Jobs of all files together. One takes 56 bytes in a trace, and up to about three times that while it is read and sorted.
    pub jobs: u64,
    /// Bytes of one file after unpacking.
    pub bytes: u64,
    /// Unpacked bytes per packed byte. Text of job logs packs 5 to 30 times; 500 leaves room for very regular logs.
    pub ratio: u64,
    /// Bytes of one line, or of one record of a table.
    pub line_bytes: u64,
    /// Bytes of one JSON document that has to be held as a whole.
    pub document_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 20_000_000,
            bytes: 64 << 30,
            ratio: 500,
            line_bytes: 64 << 20,
            document_bytes: 512 << 20,
        }
    }
}

/// How a file is packed; seen from its first bytes, not from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// An opened file: unpacked on the fly, with its beginning kept for the decision about its format.
pub(super) struct Input {
    /// How it was packed.
    pub(super) compression: Compression,
    head: Vec<u8>,
    rest: Box<dyn Read>,
}

/// A bound that was exceeded; travels as the payload of an [`io::Error`].
#[derive(Debug)]
pub(super) struct Exceeded {
    what: &'static str,
    limit: u64,
    option: &'static str,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} beyond the limit of {}", self.what, self.limit)
    }
}

impl std::error::Error for Exceeded {}

impl Exceeded {
    pub(super) fn error(what: &'static str, limit: u64, option: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::FileTooLarge, Self { what, limit, option })
    }
}

impl Input {
    /// Opens a file and reads its beginning.
    pub(super) fn open(path: &Path, limits: &Limits) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a directory"));
        }
        Self::from_reader(file, limits)
    }

    /// The same for anything that can be read.
    pub(super) fn from_reader(mut packed: impl Read + 'static, limits: &Limits) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(4);
        packed.by_ref().take(4).read_to_end(&mut magic)?;
        let taken = Arc::new(AtomicU64::new(0));
        let compression = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            _ => Compression::Plain,
        };
        let counted = Counted {
            inner: Cursor::new(magic).chain(packed),
            taken: Arc::clone(&taken),
        };
        let buffered = BufReader::with_capacity(BLOCK_BYTES, counted);
        let unpacked: Box<dyn Read> = match compression {
            Compression::Plain => Box::new(buffered),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?),
        };
        let mut rest = Bounded {
            inner: unpacked,
            given: 0,
            taken,
            limits: *limits,
        };
        let mut head = Vec::new();
        rest.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Self {
            compression,
            head,
            rest: Box::new(rest),
        })
    }

    /// The beginning of the unpacked content, without a byte order mark.
    pub(super) fn head(&self) -> &[u8] {
        self.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.head)
    }

    /// Everything, from the first byte.
    pub(super) fn into_reader(self) -> impl Read {
        let start = self.head.len() - self.head().len();
        let mut head = Cursor::new(self.head);
        head.set_position(to_u64(start));
        head.chain(self.rest)
    }

    /// Everything at once, for formats that are one document.
    pub(super) fn into_document(self, path: &Path, limits: &Limits) -> Result<Vec<u8>, Problem> {
        let limit = limits.document_bytes;
        let mut text = Vec::new();
        let read = self.into_reader().take(limit.saturating_add(1)).read_to_end(&mut text);
        let exceeded = || Exceeded::error("a JSON document of bytes", limit, "--max-document-bytes");
        match read {
            Ok(count) if to_u64(count) > limit => Err(unreadable(path, 0, &exceeded())),
            Ok(_) => Ok(text),
            Err(error) => Err(unreadable(path, 0, &error)),
        }
    }

    /// Everything, line by line.
    pub(super) fn into_lines(self, limits: &Limits) -> Lines<impl Read> {
        Lines {
            reader: self.into_reader(),
            buffer: vec![0; BLOCK_BYTES],
            start: 0,
            end: 0,
            line: 0,
            longest: to_usize(limits.line_bytes),
            ended: false,
        }
    }
}

struct Counted<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(to_u64(count), Ordering::Relaxed);
        Ok(count)
    }
}

/// Stops a stream that unpacks to more than it should.
struct Bounded {
    inner: Box<dyn Read>,
    given: u64,
    taken: Arc<AtomicU64>,
    limits: Limits,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given = self.given.saturating_add(to_u64(count));
        if self.given > self.limits.bytes {
            return Err(Exceeded::error("unpacked bytes", self.limits.bytes, "--max-bytes"));
        }
        // The first megabytes may be as regular as they like: they fit into memory anyway.
        let allowed = self
            .taken
            .load(Ordering::Relaxed)
            .saturating_mul(self.limits.ratio)
            .saturating_add(16 << 20);
        if self.given > allowed {
            return Err(Exceeded::error("a compression ratio", self.limits.ratio, "--max-ratio"));
        }
        Ok(count)
    }
}

/// Lines of a stream without a copy per line.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    line: u64,
    longest: usize,
    ended: bool,
}

impl<R: Read> Lines<R> {
    /// The next line with its number (from 1), without its line end; `None` at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut searched = 0;
        loop {
            let filled = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let unsearched = filled.get(searched..).unwrap_or(&[]);
            if let Some(offset) = memchr::memchr(b'\n', unsearched) {
                let length = searched + offset;
                let from = self.start;
                self.start += length + 1;
                self.line += 1;
                let text = self.buffer.get(from..from + length).unwrap_or(&[]);
                return Ok(Some((self.line, text.strip_suffix(b"\r").unwrap_or(text))));
            }
            searched = filled.len();
            if self.ended {
                let from = self.start;
                self.start = self.end;
                self.line += 1;
                return Ok((searched > 0).then(|| (self.line, self.buffer.get(from..self.end).unwrap_or(&[]))));
            }
            if searched > self.longest {
                return Err(Exceeded::error(
                    "a line of bytes",
                    to_u64(self.longest),
                    "--max-line-bytes",
                ));
            }
            self.fill()?;
        }
    }

    /// The number of the line that was last given out.
    pub(super) const fn line(&self) -> u64 {
        self.line
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len().saturating_mul(2), 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        let count = loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += count;
        self.ended = count == 0;
        Ok(())
    }
}

/// A reader that fails when one record takes more than a bound; [`RecordLimit::reset`] starts the next record.
pub(super) struct RecordLimit<R> {
    inner: R,
    limit: u64,
    left: u64,
}

impl<R> RecordLimit<R> {
    pub(super) const fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            limit,
            left: limit,
        }
    }

    pub(super) const fn reset(&mut self) {
        self.left = self.limit;
    }
}

impl<R: Read> Read for RecordLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(Exceeded::error("one record of bytes", self.limit, "--max-line-bytes"));
        }
        let count = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(to_u64(count));
        Ok(count)
    }
}

/// Turns a failure to read into a problem that says what to do.
pub(super) fn unreadable(path: &Path, line: u64, error: &io::Error) -> Problem {
    let exceeded = error.get_ref().and_then(|inner| inner.downcast_ref::<Exceeded>());
    let mut problem = match exceeded {
        Some(exceeded) => Problem::new(path, exceeded.to_string(), "a recording within the limits")
            .hint(format!("cut the file, or raise the limit with {}", exceeded.option)),
        None => Problem::new(path, format!("an error while reading: {error}"), "a readable file"),
    };
    problem.line = (line > 0).then_some(line);
    problem.unreadable = exceeded.is_none()
        && !matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
        );
    problem
}
