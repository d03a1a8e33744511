//! A document as one self-contained HTML page.

use super::{Block, Card, Content, Document, Figure, Table, TableColumn};
use crate::text::{escape_html, width};

const STYLE: &str = include_str!("page.css");

pub(super) fn render(document: &Document) -> String {
    let title = escape_html(&document.title);
    let subtitle = escape_html(&document.subtitle);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<h1>{title}</h1>\n<p>{subtitle}</p>\n</header>\n"
    );
    for part in &document.blocks {
        html.push_str(&block(part));
        html.push('\n');
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h2>{}</h2>", escape_html(text)),
        Block::Subheading(text) => format!("<h3>{}</h3>", escape_html(text)),
        Block::Paragraph(text) => format!("<p>{}</p>", escape_html(text)),
        Block::Warning(text) => format!("<p class=\"warning\">{}</p>", escape_html(text)),
        Block::Code(text) => format!("<pre>{}</pre>", escape_html(text)),
        Block::Bullets(items) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| format!("<li>{}</li>", escape_html(item)))
                .collect();
            format!("<ul>\n{}\n</ul>", items.join("\n"))
        }
        Block::Cards(cards) => {
            let cards: Vec<String> = cards.iter().map(card).collect();
            format!("<div class=\"cards\">\n{}\n</div>", cards.join("\n"))
        }
        Block::Table(table) => render_table(table),
        Block::Figure(figure) => render_figure(figure),
    }
}

fn card(card: &Card) -> String {
    format!(
        "<div class=\"card\"><p class=\"label\">{}</p><p class=\"value\">{}</p><p class=\"note\">{}</p></div>",
        escape_html(&card.label),
        escape_html(&card.value),
        escape_html(&card.note)
    )
}

fn render_table(table: &Table) -> String {
    let class = |column: &TableColumn| match column.content {
        Content::Number => " class=\"number\"",
        Content::List => " class=\"list\"",
        Content::Text => "",
    };
    let titles = table.columns.iter().map(|column| {
        let title = escape_html(&column.title);
        format!("<th{}>{title}</th>", class(column))
    });
    let rows: Vec<String> = table
        .rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(&table.columns).map(|(cell, column)| {
                format!("<td{}>{}</td>", class(column), content(cell, column))
            });
            format!("<tr>{}</tr>", cells.collect::<String>())
        })
        .collect();
    format!(
        "<div class=\"table\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table></div>",
        titles.collect::<String>(),
        rows.join("\n")
    )
}

fn content(cell: &str, column: &TableColumn) -> String {
    // A short name stays on one line; a long text may break.
    let is_short = width(cell) <= 20;
    if column.content != Content::List && !is_short {
        return escape_html(cell);
    }
    let items: Vec<String> = cell
        .split(", ")
        .map(|item| format!("<span>{}</span>", escape_html(item)))
        .collect();
    items.join(", ")
}

fn render_figure(figure: &Figure) -> String {
    let caption = escape_html(&figure.caption);
    match &figure.svg {
        Ok(svg) => {
            format!(
                "<figure>\n<div class=\"picture\">\n{svg}</div>\n<figcaption>{caption}</figcaption>\n</figure>"
            )
        }
        // What a figure would show explains nothing where there is none.
        Err(reason) => format!(
            "<p><em>{}: {}</em></p>",
            escape_html(&figure.title),
            escape_html(reason)
        ),
    }
}
