//! Paging: lists that are read page by page, newest first.
//!
//! Owns how large a page may be and what `cursor` and `nextCursor` are: the id of the last row that was shown.

use std::str::FromStr;

use super::ApiError;
use crate::domain::ErrorCode;

const DEFAULT: u32 = 50;
const LARGEST: u32 = 200;

/// How many rows a page has.
#[derive(Clone, Copy, Debug)]
pub struct PageSize(u32);

impl PageSize {
    /// As many as a client asks for.
    ///
    /// # Errors
    /// When that is none, or more than a page may have.
    pub fn new(limit: Option<u32>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(DEFAULT);
        if !(1..=LARGEST).contains(&limit) {
            return Err(ApiError::new(ErrorCode::InvalidRequest, format!("`limit` must be from 1 to {LARGEST}")));
        }
        Ok(Self(limit))
    }

    /// How many to read: one more tells whether there is a next page.
    pub const fn and_one(self) -> u32 {
        self.0 + 1
    }

    /// The page of so many rows, and what the next one begins after, if there is one.
    pub fn cut<Row, Id>(self, mut rows: Vec<Row>, id: impl FnOnce(&Row) -> Id) -> (Vec<Row>, Option<Id>) {
        let more = rows.len() > self.0 as usize;
        rows.truncate(self.0 as usize);
        let next = rows.last().filter(|_| more).map(id);
        (rows, next)
    }
}

/// What the page before ended with.
///
/// # Errors
/// When it is no such thing.
pub fn before<Id: FromStr>(cursor: Option<&str>) -> Result<Option<Id>, ApiError> {
    let refused = |_| ApiError::new(ErrorCode::InvalidRequest, "`cursor` is none that a page ended with");
    cursor.map(|text| text.parse().map_err(refused)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_when_there_is_one() {
        let size = PageSize::new(Some(2)).unwrap();
        assert_eq!(size.and_one(), 3);
        for (rows, page, next) in
            [(vec![], vec![], None), (vec![9, 8], vec![9, 8], None), (vec![9, 8, 7], vec![9, 8], Some(8))]
        {
            assert_eq!(size.cut(rows, |row| *row), (page, next));
        }
        assert_eq!(PageSize::new(None).unwrap().and_one(), 51);
        for wrong in [0, 201, u32::MAX] {
            assert_eq!(PageSize::new(Some(wrong)).unwrap_err().code(), ErrorCode::InvalidRequest, "{wrong}");
        }
    }
}
