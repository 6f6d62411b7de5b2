//! What is found once and kept, with no moment at which a fork could catch it.
//!
//! A cell of the standard library or of PyO3 holds a lock while its value is made. Making it may run Python, and PyO3's lets go of the
//! interpreter's lock before it begins; if another thread forks then, the child waits for a thread that it does not have. Here a value
//! is made first and put into its cell afterwards, in one step, while the interpreter's lock is held. Threads that come at the same
//! time may each make one; the first counts.

use std::convert::Infallible;
use std::sync::OnceLock;

use pyo3::prelude::*;

/// A value that is made when it is first asked for.
pub(crate) struct Once<T>(OnceLock<T>);

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn get(&self, _: Python<'_>) -> Option<&T> {
        self.0.get()
    }

    pub(crate) fn get_or_init(&self, py: Python<'_>, make: impl FnOnce() -> T) -> &T {
        let Ok(value) = self.get_or_try_init(py, || Ok::<_, Infallible>(make()));
        value
    }

    pub(crate) fn get_or_try_init<E>(
        &self,
        _: Python<'_>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.0.get() {
            return Ok(value);
        }
        let value = make()?;
        Ok(self.0.get_or_init(|| value))
    }
}

/// A Python string that is made once for each place in the source: `intern!(py, "text")`.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static TEXT: $crate::once::Once<::pyo3::Py<::pyo3::types::PyString>> = $crate::once::Once::new();
        TEXT.get_or_init($py, || ::pyo3::types::PyString::intern($py, $text).unbind()).bind($py)
    }};
}
pub(crate) use intern;

/// Has PyO3 make those of its own strings that are asked for here, as long as nobody can fork.
pub(crate) fn prepare(py: Python<'_>) {
    let class = py.get_type::<PyAny>();
    drop((class.name(), class.qualname(), class.module()));
}
