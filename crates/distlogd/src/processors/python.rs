//! `type: python`: records to a class of yours.
//!
//! ```yaml
//! processors:
//!   enrich: {type: python, plugin: "mypkg.enrich:Enrich", options: {table: users.csv}, path: [plugins]}
//! ```
//!
//! It is `type: exec` of `python -m distlog.plugin`, so a crash costs that process and nothing else, and `timeout`, `window`
//! and `env` mean the same. `python` names the interpreter; without it, the one beside the `distlogd` program is taken,
//! else `python3`. `path` is put in front of `PYTHONPATH`: relative entries start from the configuration file's
//! directory, and without it that directory itself. `options` reach the module's `initialize(options)`.

use std::path::{Path, PathBuf};

use super::exec::ExecSettings;
use super::{Kind, Settings, Surroundings};
use crate::config::Section;

/// The row of the registry.
pub const KIND: Kind = Kind {
    name: "python",
    about: "hands records to a Python class with `match` and `handle`",
    example: r#"{type: python, plugin: "deliver:Deliver", options: {file: delivered}}"#,
    read,
};

fn read(section: &Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Settings>> {
    let plugin = section.required_text("plugin");
    let options = section.json("options").unwrap_or_default();
    let directory = &surroundings.directory;
    let path = search_path(section, directory);
    let python = section.text("python").map_or_else(interpreter, |python| python.text);
    let mut settings = ExecSettings::read(section, surroundings, Vec::new());
    let plugin = plugin?;
    if !is_class(&plugin.text) {
        let text = format!("`{}` names no class. Write `package.module:Class`.", plugin.text);
        section.problems().add(plugin.place, text);
        return None;
    }
    settings.command = ["-u", "-m", "distlog.plugin", &plugin.text].map(str::to_owned).to_vec();
    settings.command.insert(0, python);
    settings.environment.insert(0, ("PYTHONPATH".to_owned(), path));
    settings.environment.push(("DISTLOG_PLUGIN_OPTIONS".to_owned(), options.to_string()));
    Some(Box::new(settings))
}

fn search_path(section: &Section<'_>, directory: &Path) -> String {
    let named = section.texts("path").unwrap_or_default();
    let mut folders: Vec<PathBuf> = named.iter().map(|folder| directory.join(&folder.text)).collect();
    if folders.is_empty() {
        folders.push(directory.to_owned());
    }
    let inherited = std::env::var_os("PYTHONPATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited).filter(|folder| !folder.as_os_str().is_empty()));
    let joined: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    joined.join(":")
}

fn interpreter() -> String {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("python")));
    let beside = beside.filter(|python| python.exists()).map(|python| python.display().to_string());
    beside.unwrap_or_else(|| "python3".to_owned())
}

/// `package.module:Class`
fn is_class(text: &str) -> bool {
    let name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let dotted = |text: &str| text.split('.').all(name);
    text.split_once(':').is_some_and(|(module, class)| dotted(module) && dotted(class))
}
