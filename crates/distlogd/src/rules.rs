//! Which processors want a record.
//!
//! Rules are asked in the order of the file. A record goes to the union of the processors of all rules that match, once
//! each, however many rules name one. `drop: true` ends the matching and sends it nowhere, not even to the store;
//! `stop: true` ends the matching after its own processors. A processor's own `when` is asked after that.
//!
//! The writer asks only [`Rules::dropped_by`]; a runner only [`Rules::sends`], each looking at no more rules than
//! its answer needs. [`Rules::route`] tells everything, for `test` and `explain`; a property test holds the three together.

use distlog::Fields;
use distlog::filter::Filter;

/// One rule, checked.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name in the configuration.
    pub name: String,
    /// Its `when`; every record if there is none.
    pub when: Filter,
    /// The processors it sends to, as places in the list of processors.
    pub to: Vec<usize>,
    /// Whether matching records are dropped.
    pub drop: bool,
    /// Whether matching ends here.
    pub stop: bool,
}

/// All rules, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// How many rules must be asked to know whether a record is dropped.
    until_last_drop: usize,
}

/// What became of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The rules that matched, as places in the list.
    pub rules: Vec<usize>,
    /// The processors it goes to, in the order they were named first.
    pub to: Vec<usize>,
    /// Whether it is dropped.
    pub dropped: bool,
}

impl Rules {
    /// Rules in that order.
    pub fn new(rules: Vec<Rule>) -> Self {
        let until_last_drop = rules.iter().rposition(|rule| rule.drop).map_or(0, |last| last + 1);
        Self { rules, until_last_drop }
    }

    /// The rules, in order.
    pub fn list(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule that drops the record, if one does.
    pub fn dropped_by<F: Fields>(&self, record: &F) -> Option<&Rule> {
        let asked = self.rules.iter().take(self.until_last_drop);
        let mut deciding = asked.filter(|rule| (rule.drop || rule.stop) && rule.when.matches(record));
        deciding.next().filter(|rule| rule.drop)
    }

    /// Whether some rule sends the record to that processor.
    pub fn sends<F: Fields>(&self, processor: usize, record: &F) -> bool {
        let mut wanted = false;
        for (at, rule) in self.rules.iter().enumerate() {
            let names = rule.to.contains(&processor);
            let decides = rule.stop || rule.drop;
            if (decides || (names && !wanted)) && rule.when.matches(record) {
                wanted = (wanted || names) && !rule.drop;
                if decides {
                    return wanted;
                }
            }
            if wanted && at >= self.until_last_drop {
                return true;
            }
        }
        wanted
    }

    /// Everything that becomes of a record.
    pub fn route<F: Fields>(&self, record: &F) -> Route {
        let mut route = Route::default();
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.when.matches(record)) {
            route.rules.push(at);
            if rule.drop {
                route.to.clear();
                route.dropped = true;
                return route;
            }
            for processor in &rule.to {
                if !route.to.contains(processor) {
                    route.to.push(*processor);
                }
            }
            if rule.stop {
                return route;
            }
        }
        route
    }
}
