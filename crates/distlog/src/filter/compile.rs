//! [`Ast`] → [`Predicate`]: names, numbers, units, levels and times become what they mean, or an error that says why not.

use regex::{Regex, RegexBuilder};

use super::ast::{Ast, Form, Node, Operator, Scalar, Test};
use super::nearest::{nearest, nearest_within};
use super::pattern::Pattern;
use super::predicate::{Name, Numeric, Own, Predicate, Standing, Text, Value};
use super::values::{LEVELS, Number, Quantity, Relative, Span, Unit, level, moment, range};
use super::{FilterError, MAX_REGEXES};
use crate::GoalPrefix;

/// All compiled regexes of one filter together take about this many bytes at most.
const REGEX_BYTES: usize = 4 << 20;

/// The language's own names.
const NAMES: [(&str, Own); 15] = [
    ("level", Own::Level),
    ("logger", Own::Text(Text::Logger)),
    ("message", Own::Text(Text::Message)),
    ("process", Own::Text(Text::Process)),
    ("host", Own::Text(Text::Host)),
    ("task", Own::Task),
    ("goal", Own::Text(Text::Title)),
    ("goal.title", Own::Text(Text::Title)),
    ("goal.id", Own::GoalId),
    ("goal.status", Own::Standing),
    ("goal.duration", Own::Number(Numeric::GoalDuration)),
    ("depth", Own::Number(Numeric::Depth)),
    ("duration", Own::Number(Numeric::Duration)),
    ("time", Own::Created),
    ("created", Own::Created),
];

/// What `goal.` may be followed by: the names above, and members of the field that need no meaning of their own.
const OF_GOAL: [&str; 9] = [
    "goal.title",
    "goal.id",
    "goal.status",
    "goal.duration",
    "goal.event",
    "goal.count",
    "goal.error",
    "goal.link",
    "goal.awaited",
];

const STANDINGS: [(&str, Standing); 7] = [
    ("succeeded", Standing::Succeeded),
    ("failed", Standing::Failed),
    ("running", Standing::Running),
    ("ok", Standing::Succeeded),
    ("silent", Standing::NeedsTask),
    ("awaited", Standing::NeedsTask),
    ("unknown", Standing::NeedsTask),
];

pub(super) fn compile(ast: &Ast, now: Option<i64>) -> Result<Predicate, FilterError> {
    let mut regexes = Vec::new();
    collect_regexes(ast, &mut regexes);
    if let Some(extra) = regexes.get(MAX_REGEXES) {
        return Err(FilterError::new(
            extra.at.clone(),
            format!("a filter has at most {MAX_REGEXES} regexes"),
        ));
    }
    Compiler { now, regex_bytes: REGEX_BYTES / regexes.len().max(1) }.node(ast)
}

fn collect_regexes<'a>(ast: &'a Ast, found: &mut Vec<&'a Scalar>) {
    match &ast.node {
        Node::And(parts) | Node::Or(parts) => parts.iter().for_each(|part| collect_regexes(part, found)),
        Node::Not(inner) | Node::Within(inner) | Node::Any(inner) => collect_regexes(inner, found),
        Node::Text(text) => found.extend(Some(text).filter(|text| text.form == Form::Regex)),
        Node::Test(test) => {
            let matches = matches!(test.operator, Operator::Matches | Operator::MatchesNot);
            found.extend(test.values.iter().filter(|value| matches || value.form == Form::Regex));
        }
        Node::Everything => {}
    }
}

struct Compiler {
    now: Option<i64>,
    /// What one compiled regex may take.
    regex_bytes: usize,
}

impl Compiler {
    fn node(&self, ast: &Ast) -> Result<Predicate, FilterError> {
        let all = |parts: &[Ast]| parts.iter().map(|part| self.node(part)).collect::<Result<Vec<_>, _>>();
        Ok(match &ast.node {
            Node::Everything => Predicate::Always,
            Node::And(parts) => Predicate::All(all(parts)?),
            Node::Or(parts) => Predicate::Some(all(parts)?),
            Node::Not(inner) => Predicate::Not(Box::new(self.node(inner)?)),
            Node::Within(inner) => Predicate::Within(Box::new(self.node(inner)?)),
            Node::Any(inner) => Predicate::SomeOfTask(Box::new(self.node(inner)?)),
            Node::Text(text) if text.text.is_empty() => {
                return Err(FilterError::new(text.at.clone(), "the text to search for is empty"));
            }
            Node::Text(text) => Predicate::Spoken(self.pattern(Operator::Has, text)?),
            Node::Test(test) => self.test(test)?,
        })
    }

    fn test(&self, test: &Test) -> Result<Predicate, FilterError> {
        let name = test.field.name.as_str();
        let own = NAMES.iter().find(|(known, _)| *known == name && !test.field.quoted).map(|(_, own)| *own);
        if own.is_none() && name.starts_with("goal.") && !test.field.quoted && !OF_GOAL.contains(&name) {
            let error = FilterError::new(test.field.at.clone(), format!("there is no {name}"));
            return Err(error.help(nearest(name, &OF_GOAL).map_or_else(
                || "of a goal there are title, id, status, duration, event, count, error, link".to_owned(),
                |near| format!("did you mean {near}?"),
            )));
        }
        let operator = match test.operator {
            Operator::IsNot => Operator::Is,
            Operator::MatchesNot => Operator::Matches,
            other => other,
        };
        let one = |value: &Scalar| match own {
            _ if value.form == Form::Present => self.present(own, operator, test, value),
            Some(own) => self.own(own, operator, test, value),
            None => self.custom(operator, test, value),
        };
        let mut tests = test.values.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let any = if tests.len() == 1 { tests.pop() } else { None }.unwrap_or(Predicate::Some(tests));
        Ok(if test.operator.is_negated() { Predicate::Not(Box::new(any)) } else { any })
    }

    fn present(
        &self,
        own: Option<Own>,
        operator: Operator,
        test: &Test,
        star: &Scalar,
    ) -> Result<Predicate, FilterError> {
        if !matches!(operator, Operator::Has | Operator::Is) {
            let error = FilterError::new(star.at.clone(), format!("{} takes no star", test.operator));
            return Err(error.help(format!("that the field is there is written {}:*", test.field.name)));
        }
        Ok(own.map_or_else(|| Predicate::Field(Box::new(name(test)), Value::Present), Predicate::Present))
    }

    fn own(
        &self,
        own: Own,
        operator: Operator,
        test: &Test,
        value: &Scalar,
    ) -> Result<Predicate, FilterError> {
        let matches = operator == Operator::Matches || value.form == Form::Regex;
        if operator.is_order() && value.form == Form::Regex {
            return Err(no_number(test, value));
        }
        match own {
            Own::Level if matches => Ok(Predicate::Text(Text::LevelName, self.pattern(operator, value)?)),
            Own::Task | Own::GoalId if matches => Ok(Predicate::Goal(self.pattern(operator, value)?)),
            Own::Created | Own::Number(_) | Own::Standing if matches => {
                let error = FilterError::new(
                    value.at.clone(),
                    format!("{} is no text: no regex matches it", test.field.name),
                );
                Err(error)
            }
            Own::Level => self.level(operator, test, value),
            Own::Created => self.created(operator, value),
            Own::Number(which) => number(which, operator, test, value),
            _ if operator.is_order() => Err(no_order(test)),
            Own::Text(text) => Ok(Predicate::Text(text, self.pattern(operator, value)?)),
            Own::GoalId if operator == Operator::Is => {
                Ok(Predicate::Goal(Pattern::whole(&value.text.to_lowercase())))
            }
            Own::Task | Own::GoalId => family(value).map(Predicate::Family),
            Own::Standing => standing(value).map(Predicate::Standing),
        }
    }

    fn level(&self, operator: Operator, test: &Test, value: &Scalar) -> Result<Predicate, FilterError> {
        let number = |text: &str| level(text).ok_or_else(|| no_level(value, text));
        if operator.is_order() {
            let level = number(&value.text)?;
            return Ok(match operator {
                Operator::Above => Predicate::Level(level.saturating_add(1), i64::MAX),
                Operator::AtLeast => Predicate::Level(level, i64::MAX),
                Operator::Below => Predicate::Level(i64::MIN, level.saturating_sub(1)),
                _ => Predicate::Level(i64::MIN, level),
            });
        }
        if let Some((low, high)) = range(&value.text) {
            let low = if low.is_empty() { i64::MIN } else { number(low)? };
            let high = if high.is_empty() { i64::MAX } else { number(high)? };
            check_order(value, low <= high)?;
            return Ok(Predicate::Level(low, high));
        }
        if let Some(level) = level(&value.text) {
            return Ok(Predicate::Level(level, level));
        }
        if value.text.contains('*') {
            return Ok(Predicate::Text(Text::LevelName, self.pattern(test.operator, value)?));
        }
        // A custom level is known by its name only; but a letter off one of Python's is a slip of the finger.
        let slip = nearest_within(&value.text, &LEVELS.map(|(name, _)| name), 1);
        if let Some(near) = slip.filter(|_| value.form == Form::Word) {
            let error = FilterError::new(value.at.clone(), format!("there is no level {}", value.text));
            return Err(error.help(format!("did you mean {near}? A level of your own is put in quotes")));
        }
        Ok(Predicate::Text(Text::LevelName, Pattern::IsLike(value.text.as_str().into())))
    }

    fn created(&self, operator: Operator, value: &Scalar) -> Result<Predicate, FilterError> {
        let moment = |text: &str| match moment(text, self.now) {
            Ok(Some(moment)) => Ok(moment),
            Ok(None) => Err(no_time(value, text)),
            Err(Relative) => {
                let error = FilterError::new(value.at.clone(), format!("{text} depends on when it is read"));
                Err(error.help("here only fixed times can be compared, such as 2026-11-22T14:02+01:00"))
            }
        };
        if !operator.is_order()
            && let Some((low, high)) = range(&value.text)
        {
            let low = if low.is_empty() { i64::MIN } else { moment(low)?.0 };
            let high = if high.is_empty() { i64::MAX } else { moment(high)?.1 };
            check_order(value, low <= high)?;
            return Ok(Predicate::Created(low, high));
        }
        let (first, last) = moment(&value.text)?;
        Ok(match operator {
            Operator::Above => Predicate::Created(first.saturating_add(1), i64::MAX),
            Operator::AtLeast => Predicate::Created(first, i64::MAX),
            Operator::Below => Predicate::Created(i64::MIN, first.saturating_sub(1)),
            Operator::AtMost => Predicate::Created(i64::MIN, first),
            _ => Predicate::Created(first, last),
        })
    }

    fn custom(&self, operator: Operator, test: &Test, value: &Scalar) -> Result<Predicate, FilterError> {
        let unit = field_unit(&test.field.name);
        let value = if operator.is_order() {
            let quantity = quantity(value).ok_or_else(|| no_number(test, value))?;
            Value::Either(Some(ordered(operator, quantity.counted_in(unit))), None)
        } else if operator == Operator::Matches || value.form != Form::Word {
            Value::Either(None, Some(self.pattern(operator, value)?))
        } else {
            let span = number_range(&value.text, unit).or_else(|| {
                Quantity::parse(&value.text).map(|quantity| Span::exactly(quantity.counted_in(unit)))
            });
            Value::Either(span, Some(self.pattern(operator, value)?))
        };
        Ok(Predicate::Field(Box::new(name(test)), value))
    }

    fn pattern(&self, operator: Operator, value: &Scalar) -> Result<Pattern, FilterError> {
        match operator {
            _ if value.form == Form::Regex => self.regex(value).map(Pattern::Regex),
            Operator::Matches | Operator::MatchesNot => self.regex(value).map(Pattern::Regex),
            Operator::Has => Ok(Pattern::has(&value.text, value.form == Form::String)),
            _ => Ok(Pattern::whole(&value.text)),
        }
    }

    fn regex(&self, value: &Scalar) -> Result<Regex, FilterError> {
        let mut builder = RegexBuilder::new(&value.text);
        let built = builder.size_limit(self.regex_bytes).dfa_size_limit(self.regex_bytes).build();
        built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => FilterError::new(value.at.clone(), "this regex is too large"),
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                FilterError::new(value.at.clone(), format!("this is no regex: {reason}"))
            }
        })
    }
}

fn name(test: &Test) -> Name {
    let whole = test.field.name.clone();
    let steps = whole.split_once('.').map(|(head, tail)| (head.to_owned(), tail.to_owned()));
    Name { whole, steps }
}

fn number(which: Numeric, operator: Operator, test: &Test, value: &Scalar) -> Result<Predicate, FilterError> {
    let span = if operator.is_order() {
        quantity(value).map(|quantity| ordered(operator, quantity.counted_in(1e9)))
    } else {
        let exactly = || quantity(value).map(|quantity| Span::exactly(quantity.counted_in(1e9)));
        number_range(&value.text, 1e9).or_else(exactly)
    };
    let measures = |unit| match which {
        Numeric::Depth => unit == Unit::None,
        _ => unit != Unit::Size,
    };
    let sides = range(&value.text).map_or(vec![value.text.as_str()], |(low, high)| vec![low, high]);
    let fitting =
        sides.iter().filter_map(|side| Quantity::parse(side)).all(|quantity| measures(quantity.unit));
    match span {
        Some(span) if fitting => Ok(Predicate::Number(which, span)),
        _ => Err(no_number(test, value)),
    }
}

fn quantity(value: &Scalar) -> Option<Quantity> {
    if value.form == Form::Regex { None } else { Quantity::parse(&value.text) }
}

fn ordered(operator: Operator, number: Number) -> Span {
    match operator {
        Operator::Above => Span { low: Some((number, false)), high: None },
        Operator::AtLeast => Span { low: Some((number, true)), high: None },
        Operator::Below => Span { low: None, high: Some((number, false)) },
        _ => Span { low: None, high: Some((number, true)) },
    }
}

/// A range of numbers; anything else with dots in it is a text.
fn number_range(text: &str, unit: f64) -> Option<Span> {
    let (low, high) = range(text)?;
    let side = |side: &str| match side {
        "" => Some(None),
        side => Some(Some((Quantity::parse(side)?.counted_in(unit), true))),
    };
    Some(Span { low: side(low)?, high: side(high)? })
}

/// How many nanoseconds a field counts by, from the end of its name.
fn field_unit(name: &str) -> f64 {
    let units = [("_ns", 1.0), ("_us", 1e3), ("_ms", 1e6)];
    units.iter().find(|(end, _)| name.ends_with(end)).map_or(1e9, |(_, unit)| *unit)
}

fn family(value: &Scalar) -> Result<GoalPrefix, FilterError> {
    GoalPrefix::parse(value.text.trim_end_matches(['*', '/'])).map_err(|_| {
        let message = format!("{} is no id of a goal, nor the beginning of one", value.text);
        let help = "an id is written 7f3a2c1e-…/2/1; the first digits are enough: task:7f3a";
        FilterError::new(value.at.clone(), message).help(help)
    })
}

fn standing(value: &Scalar) -> Result<Standing, FilterError> {
    let found = STANDINGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&value.text));
    found.map(|(_, standing)| *standing).ok_or_else(|| {
        let error = FilterError::new(value.at.clone(), format!("there is no status {}", value.text));
        let names = STANDINGS.map(|(name, _)| name);
        error.help(match nearest(&value.text, &names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("a goal is one of {}", names.join(", ")),
        })
    })
}

fn check_order(value: &Scalar, ordered: bool) -> Result<(), FilterError> {
    if ordered { Ok(()) } else { Err(FilterError::new(value.at.clone(), "this range ends before it begins")) }
}

fn no_level(value: &Scalar, text: &str) -> FilterError {
    let error = FilterError::new(value.at.clone(), format!("there is no level {text}"));
    error.help(match nearest(text, &LEVELS.map(|(name, _)| name)) {
        Some(near) => format!("did you mean {near}?"),
        None => "the levels are debug, info, warning, error, critical; others are compared by their number"
            .to_owned(),
    })
}

fn no_time(value: &Scalar, text: &str) -> FilterError {
    let error = FilterError::new(value.at.clone(), format!("{text} is no time"));
    error.help("times are -15m, today, yesterday, 2026-11-22, 2026-11-22T14:02+01:00")
}

fn no_order(test: &Test) -> FilterError {
    let error =
        FilterError::new(test.field.at.clone(), format!("{} is text: it has no order", test.field.name));
    error.help(format!("{} compares levels, numbers, durations, sizes and times", test.operator))
}

fn no_number(test: &Test, value: &Scalar) -> FilterError {
    let error =
        FilterError::new(value.at.clone(), format!("{} is compared with a number here", test.field.name));
    let is_level = LEVELS.iter().any(|(name, _)| name.eq_ignore_ascii_case(&value.text));
    let near = nearest(&test.field.name, &NAMES.map(|(name, _)| name));
    error.help(match near.filter(|near| *near != test.field.name) {
        Some(near) => format!("did you mean {near}?"),
        None if is_level => format!("levels are compared as level{}{}", test.operator, value.text),
        None => "such as 500, 1.5, 500ms, 2h, 10KiB".to_owned(),
    })
}
