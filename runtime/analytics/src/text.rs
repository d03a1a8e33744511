//! Text that people and language models wrote, made safe for each place it is shown in, and
//! numbers in the form a person reads.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::statistics::Interval;

/// What stands where a number does not exist.
pub const ABSENT: &str = "–";

/// What marks results that a surrogate gave.
pub const SURROGATE: &str = "surrogate: not measurements";

/// One line without control characters, terminal escapes, text-direction overrides and runs of
/// white space. Everything that is shown passes through here first.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() {
            if !clean.is_empty() && !clean.ends_with(' ') {
                clean.push(' ');
            }
        } else if !changes_layout(character) {
            clean.push(character);
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Several lines, each as of [`clean`] but with its indentation.
pub fn plain_lines(text: &str) -> String {
    let lines = text.lines().map(|line| {
        // A diff's first column is part of the form, also when it is a space.
        let rest = line.trim_start_matches(' ');
        format!("{}{}", " ".repeat(line.len() - rest.len()), clean(rest))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Marks that change the direction of the text around them, and code points that XML forbids.
fn changes_layout(character: char) -> bool {
    matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// Text for HTML and SVG, between tags or in a quoted attribute.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in clean(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Text for Markdown, also inside a table: no markup, no HTML, no link, no mention.
pub fn escape_markdown(text: &str) -> String {
    let text = clean(text);
    let mut escaped = String::with_capacity(text.len());
    let mut previous = ' ';
    for (index, character) in text.char_indices() {
        let rest = &text[index..];
        match character {
            // Entities, since a backslash before `<` is not honoured by every renderer.
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // At the start of a line, with a space or more of the same, these open a heading, a
            // list, a rule or an underline.
            '#' | '+' | '-' | '=' if index == 0 && opens(&rest[1..], character) => {
                escaped.push('\\');
                escaped.push(character);
            }
            '!' if rest.starts_with("![") => escaped.push_str("\\!"),
            // Some renderers link addresses and people that stand bare in the text.
            ':' if rest.starts_with("://") => escaped.push_str("&#58;"),
            '@' => escaped.push_str("&#64;"),
            '.' if previous.eq_ignore_ascii_case(&'w') => escaped.push_str("&#46;"),
            // `1. ` at the start of a line opens a list.
            '.' | ')'
                if text[..index].bytes().all(|byte| byte.is_ascii_digit())
                    && opens(&rest[1..], character) =>
            {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
        previous = character;
    }
    escaped
}

fn opens(rest: &str, marker: char) -> bool {
    rest.is_empty() || rest.starts_with([' ', marker])
}

/// Columns that the text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to `columns` terminal columns, with `…` where something was cut off.
pub fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        cut.push(character);
    }
    if columns > 0 {
        cut.push('…');
    }
    // Joined emoji can be wider together than one by one.
    while width(&cut) > columns {
        cut.pop();
    }
    cut
}

/// A value of the objective: four decimals around 1, fewer for large values.
pub fn objective(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => ABSENT.to_owned(),
        size if size < 100.0 => format!("{value:.4}"),
        size if size < 1e6 => format!("{value:.1}"),
        _ => format!("{value:.3e}"),
    }
}

/// As [`objective`]; [`ABSENT`] where there is none.
pub fn objective_or_absent(value: Option<f64>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), objective)
}

/// A setting to three significant digits, such as `8.9e-4` or `2.5`.
pub fn setting(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.to_owned();
    }
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-3..1e5).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

/// A share as whole per cent, never `0 %` or `100 %` when it only nearly is.
pub fn percent(share: f64) -> String {
    match share {
        share if !share.is_finite() => ABSENT.to_owned(),
        share if share > 0.0 && share < 0.01 => "< 1 %".to_owned(),
        share if share < 1.0 && share > 0.99 => "> 99 %".to_owned(),
        share => format!("{:.0} %", 100.0 * share),
    }
}

/// An interval, both ends in the same form: `0.61 to 0.80`, `12 to 40 %`.
pub fn range(interval: Interval, form: impl Fn(f64) -> String) -> String {
    let (low, high) = (form(interval.low), form(interval.high));
    match (low.strip_suffix(" %"), high.ends_with(" %")) {
        (Some(low), true) => format!("{low} to {high}"),
        _ => format!("{low} to {high}"),
    }
}

/// As [`range`]; [`ABSENT`] where there is none.
pub fn range_or_absent(interval: Option<Interval>, form: impl Fn(f64) -> String) -> String {
    interval.map_or_else(|| ABSENT.to_owned(), |interval| range(interval, form))
}

/// A probability as papers write it.
pub fn probability(p: f64) -> String {
    if !p.is_finite() {
        "p unknown".to_owned()
    } else if p < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p:.3}")
    }
}

/// Seconds as a person says them: `0.42 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return ABSENT.to_owned();
    }
    if seconds < 0.0995 {
        return format!("{:.2} ms", 1000.0 * seconds);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `1 experiment`, `2 experiments`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_one_harmless_line() {
        assert_eq!(clean(" a\n\tb\u{1b}[31m\u{202e}c \0"), "a b [31mc");
        assert_eq!(
            escape_html("<script>\"'&"),
            "&lt;script&gt;&quot;&#39;&amp;"
        );
        assert_eq!(escape_markdown("a|b\n<i>*x*"), "a\\|b &lt;i&gt;\\*x\\*");
        assert_eq!(
            escape_markdown("[x](http://y) www.z @me"),
            "\\[x\\](http&#58;//y) www&#46;z &#64;me"
        );
        assert_eq!(escape_markdown("1. a"), "1\\. a");
        assert_eq!(escape_markdown("0.85"), "0.85");
        assert_eq!(escape_markdown("+0.1"), "+0.1");
        assert_eq!(escape_markdown("--- x"), "\\--- x");
        assert_eq!(escape_markdown("lr 2.5 - x"), "lr 2.5 - x");
    }

    #[test]
    fn truncation_counts_columns() {
        assert_eq!(truncate("retention", 9), "retention");
        assert_eq!(truncate("retention", 5), "rete…");
        assert_eq!(truncate("研究研究", 5), "研究…");
        assert_eq!(truncate("研究研究", 4), "研…");
        assert_eq!(truncate("abc", 0), "");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(objective(0.912_345), "0.9123");
        assert_eq!(objective(f64::NAN), ABSENT);
        assert_eq!(setting(8.899_93e-4), "8.9e-4");
        assert_eq!(setting(0.003_541_05), "0.00354");
        assert_eq!(setting(2.0), "2");
        assert_eq!(percent(0.004), "< 1 %");
        assert_eq!(percent(0.9999), "> 99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(duration(0.0004), "0.40 ms");
        assert_eq!(duration(59.6), "1 min 0 s");
        assert_eq!(duration(7500.0), "2 h 5 min");
        assert_eq!(count(1, "experiment"), "1 experiment");
    }
}
