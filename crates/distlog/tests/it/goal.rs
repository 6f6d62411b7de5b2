//! Ids of goals and keys of records.

use distlog::goal::MAX_DEPTH;
use distlog::{GoalId, GoalPrefix, Key};
use proptest::prelude::*;

const ID: &str = "7f3a2c1e-0b1d-4c5e-8f90-a1b2c3d4e5f6";

fn id(text: &str) -> GoalId {
    GoalId::parse(text).unwrap()
}

#[test]
fn ids_are_read_and_bad_ones_refused() {
    assert_eq!(id(ID).to_string(), ID);
    assert_eq!(id(&format!("{ID}/2/1")).path(), [2, 1]);
    assert_eq!(id(&ID.to_uppercase()).to_string(), ID);
    assert_eq!(id(&ID.replace('-', "")).to_string(), ID);
    let misplaced = ID.replace("-0b1d-", "0-b1d-");
    let (short, long) = (&ID[1..], format!("{ID}0"));
    let deep = |depth: usize| GoalId::parse(&format!("{ID}{}", "/1".repeat(depth)));
    for bad in [
        "",
        "/",
        "x",
        short,
        &long,
        &misplaced,
        &ID.replace('-', "/"),
        &ID.replace('7', "ä"),
        &ID.replace('7', "g"),
    ] {
        assert!(GoalId::parse(bad).is_err(), "{bad}");
    }
    for bad in ["/", "/-1", "/+1", "/1/", "//1", "/a", "/4294967296", "/ 1", "/1 "] {
        assert!(GoalId::parse(&format!("{ID}{bad}")).is_err(), "{bad}");
    }
    assert!(deep(MAX_DEPTH).is_ok());
    assert!(deep(MAX_DEPTH + 1).is_err());
    for bad in ["", "@", "1", &format!("@{ID}"), &format!("x@{ID}"), "1@", &format!("1@@{ID}")] {
        assert!(Key::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn keys_sort_by_goal_and_then_by_number() {
    let key = |text: &str| Key::parse(&format!("{text}@{ID}")).unwrap();
    let below = Key::parse(&format!("0@{ID}/1")).unwrap();
    assert!(key("2") < key("10") && key("10") < below);
}

#[test]
fn a_prefix_stands_for_whole_steps() {
    let fits = |prefix: &str, goal: &str| {
        let (prefix, goal) = (GoalPrefix::parse(prefix).unwrap(), id(goal));
        assert_eq!(prefix.fits(&goal), prefix.fits_text(&goal.to_string()));
        prefix.fits(&goal)
    };
    let below = format!("{ID}/2/21");
    for prefix in ["7", "7F3A", "7f3a2c1e-0b", "7f3a/2", "7f3a/2/21", ID, &below] {
        assert!(fits(prefix, &below), "{prefix}");
    }
    for prefix in ["8", "7f3b", "7f3a/21", "7f3a/2/2", "7f3a/2/21/1"] {
        assert!(!fits(prefix, &below), "{prefix}");
    }
    for bad in ["", "/2", "xyz", "-", "7f3a/", "7f3a/x", &ID.replace('-', "0")] {
        assert!(GoalPrefix::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(GoalPrefix::parse(&below).unwrap().root(), Some(id(ID).root()));
    assert_eq!(GoalPrefix::parse("7f3a").unwrap().root(), None);
}

fn any_id() -> impl Strategy<Value = GoalId> {
    let path =
        prop_oneof![proptest::collection::vec(0..4_u32, 0..6), proptest::collection::vec(any::<u32>(), 0..6)];
    (prop_oneof![Just([7; 16]), any::<[u8; 16]>()], path).prop_map(|(root, path)| {
        path.iter().fold(GoalId::from_root(root), |goal, number| goal.child(*number))
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(goal in any_id(), number in any::<u32>(), digits in 1..=32_usize) {
        prop_assert_eq!(&id(&goal.to_string()), &goal);
        let key = Key { number, goal: goal.clone() };
        prop_assert_eq!(&Key::parse(&key.to_string()).unwrap(), &key);
        let hex = goal.to_string().replace('-', "");
        let prefix = GoalPrefix::parse(&hex[..digits]).unwrap();
        prop_assert_eq!(GoalPrefix::parse(&prefix.to_string()).unwrap(), prefix.clone());
        prop_assert!(prefix.fits(&goal) && prefix.fits_text(&goal.to_string()));
    }

    #[test]
    fn parent_undoes_child(goal in any_id(), number in any::<u32>()) {
        let child = goal.child(number);
        prop_assert_eq!(child.parent(), Some(goal.clone()));
        prop_assert_eq!(child.depth(), goal.depth() + 1);
        prop_assert!(child.is_within(&goal) && child.is_within(&child) && !goal.is_within(&child));
    }

    /// Between a goal and one below it, in order, there are only goals below it.
    #[test]
    fn families_are_together_in_order(a in any_id(), b in any_id(), c in any_id()) {
        let mut ids = [a, b, c];
        ids.sort();
        let [first, middle, last] = ids;
        prop_assert!(!last.is_within(&first) || middle.is_within(&first));
        let above = std::iter::successors(middle.parent(), GoalId::parent).any(|goal| goal == first);
        prop_assert_eq!(middle.is_within(&first), above || middle == first);
    }

    #[test]
    fn the_two_ways_a_prefix_is_judged_agree(goal in any_id(), other in any_id(), digits in 1..=32_usize) {
        let whole = other.to_string().replace('-', "");
        let (root, path) = whole.split_at(32);
        let prefix = GoalPrefix::parse(&format!("{}{path}", &root[..digits])).unwrap();
        prop_assert_eq!(prefix.fits(&goal), prefix.fits_text(&goal.to_string()));
        prop_assert!(!goal.is_within(&other) || prefix.fits(&goal));
    }
}
