//! Listing: the statement behind a page of orders, for either database.
//!
//! Owns its shape. Each status is looked up by itself, newest first and no deeper than the page, so that every arm
//! walks the end of one index, however many orders there are.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::OrderFilter;
use crate::domain::Status;

/// The statement. `columns` are what is read of each order; `id_type` is what a bound id is cast to, if anything.
pub(super) fn page<'a, DB>(columns: &str, id_type: &str, filter: &OrderFilter, limit: u32) -> QueryBuilder<'a, DB>
where
    DB: Database,
    String: Encode<'a, DB> + Type<DB>,
    i64: Encode<'a, DB> + Type<DB>,
{
    let limit = i64::from(limit);
    let equal = [
        ("token_in_symbol", filter.token_in.clone()),
        ("token_out_symbol", filter.token_out.clone()),
        ("wallet", filter.wallet.map(|wallet| wallet.to_string())),
    ];
    let equal: Vec<_> = equal.into_iter().filter_map(|(column, value)| Some((column, value?))).collect();
    let mut query = QueryBuilder::new(format!("select {columns} from orders where id in (select id from ("));
    let mut statuses = filter.statuses.clone();
    if statuses.is_empty() && !equal.is_empty() {
        statuses = Status::ALL.to_vec(); // the other filters' indexes are by status
    }
    statuses.sort_unstable();
    statuses.dedup();
    let mut arms: Vec<_> = statuses.into_iter().map(Some).collect();
    if arms.is_empty() {
        arms.push(None);
    }
    for (n, status) in arms.into_iter().enumerate() {
        if n > 0 {
            query.push(" union all ");
        }
        query.push("select id from (select id from orders where true");
        if let Some(status) = status {
            query.push(" and status = ").push_bind(status.as_str().to_owned());
        }
        for (column, value) in &equal {
            query.push(format!(" and {column} = ")).push_bind(value.clone());
        }
        if let Some(before) = filter.before {
            query.push(" and id < ").push_bind(before.to_string()).push(id_type);
        }
        query.push(" order by id desc limit ").push_bind(limit).push(format!(") as arm_{n}"));
    }
    query.push(") as arms order by id desc limit ").push_bind(limit).push(") order by orders.id desc");
    query
}
