//! The `redirector` program: arguments in, exit status out.

fn main() -> std::process::ExitCode {
    redirector::command::run()
}
