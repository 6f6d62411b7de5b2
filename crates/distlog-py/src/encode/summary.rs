//! Arrays and tables: what they are and how they begin, never the whole.
//!
//! `{"type", "dtype", "shape", "head"}` for numpy's arrays and pandas' columns, `{"type", "shape", "columns", "head"}` for its tables, where
//! `head` gives a column's first values by its name. [`HEAD`] values of each, [`COLUMNS`] columns.

use pyo3::prelude::*;
use pyo3::types::PySlice;

use super::kind::Kind;
use super::value::{Encoder, type_name};
use super::writer::Writer;

/// How many values a head has, and how many columns.
const HEAD: isize = 5;
const COLUMNS: isize = 20;

impl<'py, W: Writer> Encoder<'py, W> {
    /// Writes what is to be said of an array or a table.
    pub(crate) fn summary(&mut self, value: &Bound<'py, PyAny>, kind: Kind) -> PyResult<()> {
        let slice = |most| PySlice::new(self.py, 0, most, 1);
        let (shape, rows) = (value.getattr("shape")?, slice(HEAD));
        let mut parts = vec![("shape", shape)];
        match kind {
            Kind::Frame => {
                parts.push((
                    "columns",
                    value.getattr("columns")?.get_item(slice(COLUMNS))?.call_method0("tolist")?,
                ));
                let head = value.getattr("iloc")?.get_item((rows, slice(COLUMNS)))?;
                parts.push(("head", head.call_method1("to_dict", ("list",))?));
            }
            Kind::Series => {
                parts.push(("dtype", value.getattr("dtype")?.str()?.into_any()));
                let by_place = value.getattr_opt("iloc")?.unwrap_or_else(|| value.clone());
                parts.push(("head", by_place.get_item(rows)?.call_method0("tolist")?));
            }
            _ => {
                parts.push(("dtype", value.getattr("dtype")?.str()?.into_any()));
                parts.push(("head", value.getattr("flat")?.get_item(rows)?.call_method0("tolist")?));
            }
        }
        self.out.open_map();
        self.out.key("type");
        self.out.text(&type_name(value));
        for (name, part) in parts {
            self.out.key(name);
            self.value(&part);
        }
        self.out.close_map();
        Ok(())
    }
}
