//! A small reader of comma-separated values: a header, quoted fields, doubled quotes.

use orze_campaign::InputError;

/// A parsed table; every row has as many fields as the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows below.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Parses text; blank lines are skipped.
    ///
    /// # Errors
    /// An [`InputError`] with the line of the first row whose fields don't match the header.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let mut records = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| (number + 1, fields(line)));
        let (_, header) = records
            .next()
            .ok_or_else(|| InputError::new("is empty").hint("the first line names the columns"))?;
        let mut rows = Vec::new();
        for (number, row) in records {
            if row.len() != header.len() {
                return Err(InputError::new(format!(
                    "has {} fields, the header has {}",
                    row.len(),
                    header.len()
                ))
                .at_key(format!("line {number}")));
            }
            rows.push(row);
        }
        Ok(Self { header, rows })
    }

    /// The position of a column.
    ///
    /// # Errors
    /// An [`InputError`] that names the columns there are.
    pub fn column(&self, name: &str) -> Result<usize, InputError> {
        self.header
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| {
                InputError::new(format!("has no column `{name}`"))
                    .hint(format!("its columns are: {}", self.header.join(", ")))
            })
    }
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                push(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => push(&mut fields, other),
        }
    }
    fields
        .into_iter()
        .map(|field| field.trim().to_owned())
        .collect()
}

fn push(fields: &mut [String], character: char) {
    if let Some(field) = fields.last_mut() {
        field.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_quotes_and_names_the_line_of_a_mistake() {
        let table = Table::parse("id,label\r\n\"a,\"\"b\"\"\", ER\n\nc,other\n").unwrap();
        assert_eq!(table.rows[0], ["a,\"b\"", "ER"]);
        assert_eq!(table.column("label").unwrap(), 1);
        let error = Table::parse("id,label\na,b\nc\n").unwrap_err();
        assert_eq!(error.to_string(), "line 3: has 1 fields, the header has 2");
    }
}
