//! A table's rows, each written into what they have in common.

use meshwright_test_files::Wrong;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::wire::{TableWire, TestWire};

/// A case of a test, with the line on which it stands.
#[derive(Debug)]
pub(crate) struct Row {
    /// From 1; none for a test without a table.
    pub(crate) number: Option<usize>,
    pub(crate) line: u64,
    pub(crate) test: TestWire,
}

/// The cases of a test; what is wrong has the line of its row.
pub(crate) fn rows(mut test: TestWire, line: u64) -> Result<Vec<Row>, (u64, Wrong)> {
    let Some(TableWire { columns, rows }) = test.table.take() else { return Ok(vec![Row { number: None, line, test }]) };
    if columns.is_empty() || rows.is_empty() {
        let (path, what) = if columns.is_empty() { ("table.columns", "column") } else { ("table.rows", "row") };
        return Err((line, Wrong::new(path, format!("found none; at least one {what} is allowed"))));
    }
    for (index, column) in columns.iter().enumerate() {
        let wrong = |message| Err((line, Wrong::new(format!("table.columns[{index}]"), message)));
        if columns.iter().filter(|other| *other == column).count() > 1 {
            return wrong(format!("found `{column}` twice"));
        }
        if column == "name" || column == "table" {
            return wrong(format!("found `{column}`; the test's name with the row's number names a case"));
        }
    }
    let common = serde_json::to_value(&test).map_err(|error| (line, Wrong::new("", error.to_string())))?;
    let row = |(index, row): (usize, Spanned<Vec<Value>>)| {
        let line = row.defined.line();
        let path = format!("table.rows[{index}]");
        let test = written(&common, &columns, row.value).map_err(|wrong| (line, wrong.below(&path)))?;
        Ok(Row { number: Some(index.saturating_add(1)), line, test })
    };
    rows.into_iter().enumerate().map(row).collect()
}

fn written(common: &Value, columns: &[String], cells: Vec<Value>) -> Result<TestWire, Wrong> {
    if cells.len() != columns.len() {
        return Err(Wrong::new("", format!("found {} values for {} columns", cells.len(), columns.len())));
    }
    let mut test = common.clone();
    for (column, cell) in columns.iter().zip(cells) {
        write(&mut test, column, cell);
    }
    serde_path_to_error::deserialize(test).map_err(|error| {
        let path = error.path().to_string();
        Wrong::new(path, error.into_inner().to_string())
    })
}

/// A header's name may have dots in it: only the first dots that are of the format count.
fn write(test: &mut Value, column: &str, cell: Value) {
    let (parent, rest) = match column.split_once('.') {
        Some((parent @ ("headers" | "expect"), rest)) => (Some(parent), rest),
        Some(_) | None => (None, column),
    };
    let Some(parent) = parent else {
        let is_short = rest == "expect" && cell.is_string();
        return if is_short { set(child(test, "expect"), "decision", cell) } else { set(test, rest, cell) };
    };
    match rest.split_once('.') {
        Some(("headers", name)) if parent == "expect" => set_kept(child(child(test, parent), "headers"), name, cell),
        Some(_) | None => set(child(test, parent), rest, cell),
    }
}

fn child<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    let slot = match value {
        Value::Object(map) => map.entry(name).or_insert(Value::Null),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    };
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot
}

fn set(value: &mut Value, name: &str, cell: Value) {
    if let Value::Object(map) = value {
        if cell.is_null() {
            map.remove(name)
        } else {
            map.insert(name.to_owned(), cell)
        };
    }
}

/// Null says that the app must not receive it.
fn set_kept(value: &mut Value, name: &str, cell: Value) {
    if let Value::Object(map) = value {
        map.insert(name.to_owned(), cell);
    }
}
