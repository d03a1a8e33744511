//! A document as Markdown.

use super::{Block, Card, Content, Document, Figure, Table};
use crate::text::escape_markdown;

pub(super) fn render(document: &Document) -> String {
    let mut blocks = vec![
        format!("# {}", escape_markdown(&document.title)),
        escape_markdown(&document.subtitle),
    ];
    blocks.extend(document.blocks.iter().map(block));
    let mut markdown = blocks.join("\n\n");
    markdown.push('\n');
    markdown
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("## {}", escape_markdown(text)),
        Block::Subheading(text) => format!("### {}", escape_markdown(text)),
        Block::Paragraph(text) => escape_markdown(text),
        Block::Warning(text) => format!("> **{}**", escape_markdown(text)),
        Block::Code(text) => code(text),
        Block::Bullets(items) => {
            let lines: Vec<String> = items
                .iter()
                .map(|item| format!("- {}", escape_markdown(item)))
                .collect();
            lines.join("\n")
        }
        Block::Cards(cards) => cards_as_table(cards),
        Block::Table(table) => render_table(table),
        Block::Figure(figure) => render_figure(figure),
    }
}

/// A fence that the text can't close.
fn code(text: &str) -> String {
    let runs = text.split(|character| character != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    format!("{fence}\n{}\n{fence}", text.trim_end())
}

fn cards_as_table(cards: &[Card]) -> String {
    let mut table = Table::new(vec![
        Content::Text.column(""),
        Content::Number.column(""),
        Content::Text.column(""),
    ]);
    table.rows = cards
        .iter()
        .map(|card| vec![card.label.clone(), card.value.clone(), card.note.clone()])
        .collect();
    render_table(&table)
}

fn render_table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let titles = table
        .columns
        .iter()
        .map(|column| escape_markdown(&column.title));
    let rules = table.columns.iter().map(|column| match column.content {
        Content::Number => "---:".to_owned(),
        _ => "---".to_owned(),
    });
    let mut lines = vec![line(titles.collect()), line(rules.collect())];
    for row in &table.rows {
        lines.push(line(row.iter().map(|cell| escape_markdown(cell)).collect()));
    }
    lines.join("\n")
}

fn render_figure(figure: &Figure) -> String {
    let caption = escape_markdown(&figure.caption);
    match &figure.svg {
        Ok(_) => format!(
            "![{}](figures/{}.svg)\n\n{caption}",
            escape_markdown(&figure.title),
            figure.name
        ),
        Err(reason) => format!(
            "*{}: {}*",
            escape_markdown(&figure.title),
            escape_markdown(reason)
        ),
    }
}
