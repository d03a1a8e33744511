//! What holds for every report.

use crate::report::Report;

/// Every tag that the report may contain.
const TAGS: [&str; 31] = [
    "!DOCTYPE",
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "header",
    "h1",
    "h2",
    "h3",
    "p",
    "ul",
    "li",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "span",
    "figure",
    "figcaption",
    "em",
    "svg",
    "rect",
    "line",
    "path",
    "text",
];

/// Every attribute that the report may contain.
const ATTRIBUTES: [&str; 29] = [
    "lang",
    "charset",
    "name",
    "content",
    "class",
    "xmlns",
    "width",
    "height",
    "viewBox",
    "role",
    "aria-label",
    "font-family",
    "font-size",
    "font-weight",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "d",
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-linejoin",
    "opacity",
    "text-anchor",
    "transform",
];

/// Checks that markup holds only our own tags and attributes, balanced, and no bare `<`, `>` or
/// `&` in text or attributes.
fn check_markup(markup: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start]);
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        assert!(TAGS.contains(&name), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else {
            check_attributes(&tag[name.len()..]);
            if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
                open.push(name);
            }
        }
        if tag == "style" {
            // Ours alone, from a file.
            let end = rest.find("</style>").unwrap();
            assert_eq!(
                rest[..end].trim(),
                include_str!("../../document/page.css").trim()
            );
            rest = &rest[end..];
        }
    }
    check_text(rest);
    assert!(open.is_empty(), "{open:?} stay open");
}

fn check_attributes(mut rest: &str) {
    while let Some((name, after)) = rest.split_once("=\"") {
        assert!(ATTRIBUTES.contains(&name.trim()), "{name}");
        let (value, after) = after.split_once('"').expect("a value ends");
        check_text(value);
        rest = after;
    }
    assert!(["", "/", "html"].contains(&rest.trim()), "{rest}");
}

fn check_text(text: &str) {
    assert!(!text.contains('>'), "{text}");
    for (index, _) in text.match_indices('&') {
        let is_entity = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"]
            .iter()
            .any(|entity| text[index..].starts_with(entity));
        assert!(is_entity, "{text}");
    }
}

/// Whether any number in the report is none; the texts of the tests hold no such word.
pub(super) fn check_numbers(text: &str) {
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        assert!(!["NaN", "inf"].contains(&word), "a number is {word}");
    }
}

pub(super) fn check(report: &Report) {
    check_markup(&report.html);
    for picture in &report.figures {
        check_markup(&picture.svg);
        let link = format!("(figures/{}.svg)", picture.name);
        assert!(report.markdown.contains(&link), "{link}");
        assert!(
            report.html.contains(&picture.svg),
            "{} is in the page",
            picture.name
        );
    }
    let heads = |text: &str, mark: &str| text.matches(mark).count();
    assert_eq!(
        heads(&report.html, "<h2>"),
        heads(&report.markdown, "\n## ")
    );
    // The key figures are a table in Markdown alone.
    let tables = heads(&report.markdown, "\n| ---");
    assert_eq!(heads(&report.html, "<table>") + 1, tables);
    for outside in ["http-equiv", "<script", "<link", "@import", "url("] {
        assert!(!report.html.contains(outside), "{outside}");
    }
    assert!(!report.markdown.contains("<"), "Markdown holds no HTML");
}
