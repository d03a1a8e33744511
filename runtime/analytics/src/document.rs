//! A report as a tree of plain text, written once and rendered as HTML and as Markdown. The
//! renderers are the only places that add markup, and they escape every text they are given, so
//! nothing that a model wrote can become markup.

mod html;
mod markdown;

/// A page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    pub title: String,
    /// One line below the title.
    pub subtitle: String,
    pub blocks: Vec<Block>,
}

/// A part of a page; all texts are plain.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Heading(String),
    /// A heading inside a section.
    Subheading(String),
    Paragraph(String),
    /// A paragraph that must not be overlooked.
    Warning(String),
    Bullets(Vec<String>),
    /// Key figures.
    Cards(Vec<Card>),
    Table(Table),
    Figure(Figure),
    /// Lines that keep their form, such as a change to a script.
    Code(String),
}

/// One key figure.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub label: String,
    pub value: String,
    pub note: String,
}

impl Card {
    pub fn new(label: &str, value: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            label: label.to_owned(),
            value: value.into(),
            note: note.into(),
        }
    }
}

/// A table; every row has as many cells as there are columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub columns: Vec<TableColumn>,
    pub rows: Vec<Vec<String>>,
}

/// A column by its title and what stands in it.
#[derive(Debug, Clone)]
pub(crate) struct TableColumn {
    pub title: String,
    pub content: Content,
}

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Content {
    Text,
    /// Flush right.
    Number,
    /// Items between commas, none of which may break over two lines.
    List,
}

impl Content {
    pub fn column(self, title: impl Into<String>) -> TableColumn {
        TableColumn {
            title: title.into(),
            content: self,
        }
    }
}

impl Table {
    pub fn new(columns: Vec<TableColumn>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }
}

/// A figure with its caption.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Name of its files, without an ending.
    pub name: &'static str,
    /// What it shows in a few words, for those who can't see it.
    pub title: String,
    pub caption: String,
    /// The whole SVG, already safe; `Err` says why there is nothing to draw yet.
    pub svg: Result<String, String>,
}

impl Document {
    pub fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    pub fn heading(&mut self, text: &str) {
        self.push(Block::Heading(text.to_owned()));
    }

    pub fn subheading(&mut self, text: &str) {
        self.push(Block::Subheading(text.to_owned()));
    }

    pub fn paragraph(&mut self, text: impl Into<String>) {
        self.push(Block::Paragraph(text.into()));
    }

    /// A table, or the text where it would be empty.
    pub fn table(&mut self, table: Table, when_empty: &str) {
        if table.rows.is_empty() {
            self.paragraph(when_empty);
        } else {
            self.push(Block::Table(table));
        }
    }

    /// One self-contained page: inline style and figures, no script, nothing loaded.
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// The twin that links its figures as `figures/….svg`.
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }
}
