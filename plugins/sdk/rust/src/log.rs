//! Lines for the campaign's log, under the plugin's name. Beyond 100 lines a call, or 2,000 bytes a
//! line, they are cut. Outside a component they go to the standard error stream.

/// A line for the plugin's author.
pub fn debug(message: &str) {
    write("debug", message);
}

/// A line worth knowing.
pub fn info(message: &str) {
    write("info", message);
}

/// A line worth acting on.
pub fn warn(message: &str) {
    write("warn", message);
}

#[cfg(target_family = "wasm")]
fn write(level: &str, message: &str) {
    use crate::bindings::orze::host::log::{Level, write};
    let level = match level {
        "debug" => Level::Debug,
        "info" => Level::Info,
        _ => Level::Warn,
    };
    write(level, message);
}

#[cfg(not(target_family = "wasm"))]
fn write(level: &str, message: &str) {
    eprintln!("{level}: {message}");
}
