//! Cell: one value on its way into a column.
//!
//! Owns what a value is before a database gives it its own form: a backend binds each kind as its columns hold it.

use time::OffsetDateTime;

use crate::domain::{BaseUnits, BlockHeight, Bps, OrderId, Slot};

/// A value for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell<'r> {
    Null,
    Truth(bool),
    /// What is larger than any integer of the databases is the largest.
    Integer(i64),
    /// In base units.
    Amount(u64),
    Text(&'r str),
    Bytes(&'r [u8]),
    Id(OrderId),
    Time(OffsetDateTime),
}

impl<'r, T: Into<Cell<'r>>> From<Option<T>> for Cell<'r> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<bool> for Cell<'_> {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<u64> for Cell<'_> {
    fn from(integer: u64) -> Self {
        Self::Integer(integer.try_into().unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell<'_> {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<u8> for Cell<'_> {
    fn from(integer: u8) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<Bps> for Cell<'_> {
    fn from(bps: Bps) -> Self {
        Self::Integer(bps.get().into())
    }
}

impl From<Slot> for Cell<'_> {
    fn from(slot: Slot) -> Self {
        slot.0.into()
    }
}

impl From<BlockHeight> for Cell<'_> {
    fn from(height: BlockHeight) -> Self {
        height.0.into()
    }
}

impl From<BaseUnits> for Cell<'_> {
    fn from(amount: BaseUnits) -> Self {
        Self::Amount(amount.get())
    }
}

impl<'r> From<&'r str> for Cell<'r> {
    fn from(text: &'r str) -> Self {
        Self::Text(text)
    }
}

impl<'r> From<&'r [u8]> for Cell<'r> {
    fn from(bytes: &'r [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<OrderId> for Cell<'_> {
    fn from(id: OrderId) -> Self {
        Self::Id(id)
    }
}

impl From<OffsetDateTime> for Cell<'_> {
    fn from(time: OffsetDateTime) -> Self {
        Self::Time(time)
    }
}
