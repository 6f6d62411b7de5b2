//! How a filter was read, in words.

use super::ast::{Ast, Form, Node, Operator, Scalar, Test};
use super::values::range;

/// Names whose `:` is an equality or a beginning, not "contains".
const NEVER_CONTAIN: [&str; 8] =
    ["level", "time", "created", "depth", "duration", "goal.duration", "goal.status", "process"];

pub(super) fn explain(ast: &Ast, otherwise: &[String]) -> String {
    let mut text = format!("reads as  {}", words(ast));
    for other in otherwise {
        text.push_str("\nnote      the space binds tighter than \"or\"; for the other meaning write  ");
        text.push_str(other);
    }
    text
}

fn words(ast: &Ast) -> String {
    match &ast.node {
        Node::Everything => "every record".to_owned(),
        Node::And(parts) => joined(parts, "  and  "),
        Node::Or(parts) => joined(parts, "  or  "),
        Node::Not(inner) => format!("not {}", held(inner)),
        Node::Within(inner) => format!("some enclosing goal has ({})", words(inner)),
        Node::Any(inner) => format!("some record of the task has ({})", words(inner)),
        Node::Text(text) if text.form == Form::Regex => format!("message matches {}", value(text)),
        Node::Text(text) => format!("message has {}", quoted(text)),
        Node::Test(test) => self::test(test),
    }
}

fn joined(parts: &[Ast], by: &str) -> String {
    parts.iter().map(held).collect::<Vec<_>>().join(by)
}

fn held(part: &Ast) -> String {
    match part.node {
        Node::And(_) | Node::Or(_) => format!("({})", words(part)),
        _ => words(part),
    }
}

fn test(test: &Test) -> String {
    let name = &test.field.name;
    let values: Vec<String> = test.values.iter().map(|value| one(test, value)).collect();
    if let [only] = test.values.as_slice() {
        if only.form == Form::Present {
            let verb = if test.operator.is_negated() { "is absent" } else { "is there" };
            return format!("{name} {verb}");
        }
        let ranged = only.form == Form::Word && range(&only.text).is_some() && !test.operator.is_order();
        return format!("{name} {} {}", verb(test, ranged), values.concat());
    }
    format!("{name} {} one of {}", verb(test, false), values.join(", "))
}

fn verb(test: &Test, ranged: bool) -> &'static str {
    let contains = !test.field.quoted && NEVER_CONTAIN.contains(&test.field.name.as_str());
    match test.operator {
        Operator::Has if matches!(test.field.name.as_str(), "task" | "goal.id") && !test.field.quoted => {
            "begins with"
        }
        Operator::Has if contains || ranged => "is",
        Operator::Has => "has",
        Operator::Is => "is",
        Operator::IsNot => "is not",
        Operator::Matches => "matches",
        Operator::MatchesNot => "does not match",
        order => order.symbol(),
    }
}

fn one(test: &Test, scalar: &Scalar) -> String {
    let sides =
        if test.operator.is_order() || scalar.form != Form::Word { None } else { range(&scalar.text) };
    match sides {
        Some((low, "")) => format!("{low} or more"),
        Some(("", high)) => format!("{high} or less"),
        Some((low, high)) => format!("from {low} to {high}"),
        None => value(scalar),
    }
}

fn value(scalar: &Scalar) -> String {
    match scalar.form {
        Form::Regex => format!("/{}/", scalar.text.replace('/', "\\/")),
        Form::String => quoted(scalar),
        Form::Word | Form::Present => scalar.text.clone(),
    }
}

fn quoted(scalar: &Scalar) -> String {
    format!("\"{}\"", scalar.text.replace('"', "\\\""))
}
