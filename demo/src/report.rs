//! What each step of the demo expected and what happened, as a table.

use comfy_table::{Cell, Color, ContentArrangement, Table};

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    pub step: String,
    pub expected: String,
    pub actual: String,
    pub ok: bool,
}

impl Row {
    /// As expected when the two say the same.
    #[must_use]
    pub fn same(step: &str, expected: &str, actual: &str) -> Self {
        Self { step: step.to_owned(), expected: expected.to_owned(), actual: actual.to_owned(), ok: expected == actual }
    }

    #[must_use]
    pub fn checked(step: &str, expected: &str, actual: String, ok: bool) -> Self {
        Self { step: step.to_owned(), expected: expected.to_owned(), actual, ok }
    }
}

/// All rows so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    #[must_use]
    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| !row.ok).count()
    }

    /// The table, at most `width` columns wide.
    #[must_use]
    pub fn table(&self, width: u16) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width).set_header(["", "step", "expected", "actual"]);
        for row in &self.rows {
            let mark = if row.ok { Cell::new("ok").fg(Color::Green) } else { Cell::new("NOT OK").fg(Color::Red) };
            table.add_row([mark, Cell::new(&row.step), Cell::new(&row.expected), Cell::new(&row.actual)]);
        }
        table.to_string()
    }
}
