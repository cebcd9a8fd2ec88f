//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    autotune::cli::run()
}
