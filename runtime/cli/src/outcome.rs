//! How a command ends: exit codes, and errors as a person reads them.

use std::process::ExitCode;

use orze_campaign::InputError;
use orze_ledger::LedgerError;

use crate::live::shown;
use crate::trial::Interrupted;

/// What a command ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// All went well.
    Success,
    /// It ran, and what it ran failed; the text is already printed.
    Failure,
    /// The user stopped it.
    Interrupted,
}

/// Prints an error as `error:`, a blank line, `hint:`, and gives the exit code: 0 done, 1 failed,
/// 2 the input is wrong, 130 interrupted.
pub fn exit_code(result: anyhow::Result<Done>) -> ExitCode {
    match result {
        Ok(Done::Success) => ExitCode::SUCCESS,
        Ok(Done::Failure) => ExitCode::from(1),
        Ok(Done::Interrupted) => ExitCode::from(130),
        Err(error) => {
            if error.is::<Interrupted>() {
                eprintln!("interrupted");
                return ExitCode::from(130);
            }
            if broken_pipe(&error) {
                // Whoever read our output (`head`) has seen enough.
                return ExitCode::SUCCESS;
            }
            let input = error.downcast_ref::<InputError>().or_else(|| {
                error
                    .downcast_ref::<LedgerError>()
                    .and_then(|error| match error {
                        LedgerError::Input(input) => Some(input),
                        _ => None,
                    })
            });
            match input {
                Some(input) => {
                    let mut input = input.clone();
                    input.file = input.file.map(|file| shown(&file).into());
                    eprintln!("error: {input}");
                    if let Some(hint) = &input.hint {
                        eprintln!("\nhint: {hint}");
                    }
                    ExitCode::from(2)
                }
                None => {
                    eprintln!("error: {error:#}");
                    ExitCode::from(1)
                }
            }
        }
    }
}

/// `println!` panics when its reader (`head`) has gone: no reason to alarm anybody.
pub fn end_quietly_when_nobody_reads() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(0);
        }
        hook(panic);
    }));
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
