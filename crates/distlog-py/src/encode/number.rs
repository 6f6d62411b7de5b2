//! Whole numbers of any size, without the interpreter's limit on digits.
//!
//! Python refuses to print more than 4,300 decimal digits (`sys.set_int_max_str_digits`), but never refuses hexadecimal:
//! that is what is read here.

/// Numbers with more bits than this are described, not written: printing costs the square of the length.
pub(crate) const MAX_BITS: u64 = 20_000;

/// Numbers with more bits than this have more than 4,300 digits. Python's `json` refuses to read those as numbers, so
/// they are written as text.
const READABLE_BITS: u64 = 14_284;

/// A whole number: its sign, and its size in 32-bit limbs, lowest first.
pub(crate) struct Big {
    negative: bool,
    limbs: Vec<u32>,
}

impl Big {
    /// Reads what Python's `hex()` prints: `-0x1f`. `None` if it is not that.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let digits = digits.strip_prefix("0x")?.as_bytes();
        let limbs = digits.rchunks(8).map(limb).collect::<Option<Vec<u32>>>()?;
        Some(Self { negative, limbs })
    }

    /// Whether every reader takes it as a number.
    pub(crate) fn is_readable(&self) -> bool {
        let unused = self.limbs.last().map_or(0, |highest| highest.leading_zeros());
        self.limbs.len() as u64 * 32 - u64::from(unused) <= READABLE_BITS
    }

    /// The number in decimal digits.
    pub(crate) fn decimal(&self) -> String {
        const GROUP: u64 = 1_000_000_000;
        let mut limbs = self.limbs.clone();
        let mut groups: Vec<u64> = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0_u64;
            for limb in limbs.iter_mut().rev() {
                let value = rest << 32 | u64::from(*limb);
                *limb = (value / GROUP) as u32;
                rest = value % GROUP;
            }
            groups.push(rest);
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
        }
        let first = groups.pop().unwrap_or_default();
        let sign = if self.negative { "-" } else { "" };
        groups.iter().rev().fold(format!("{sign}{first}"), |text, group| text + &format!("{group:09}"))
    }

    /// The number in two's complement, lowest byte first, with the sign in the highest bit.
    pub(crate) fn twos_complement(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.limbs.iter().flat_map(|limb| limb.to_le_bytes()).chain([0]).collect();
        if self.negative {
            let mut carry = true;
            for byte in &mut bytes {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        bytes
    }
}

fn limb(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
