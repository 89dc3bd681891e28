//! Listing: the statement behind a page of orders, for either database.
//!
//! Owns its shape. Each status is looked up by itself, newest first and no deeper than the page, so that every arm
//! walks the end of one index, however many orders there are.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::OrderFilter;

/// The statement. `columns` are what is read of each order; `id_type` is what a bound id is cast to, if anything.
pub(super) fn page<'a, DB>(columns: &str, id_type: &str, filter: &OrderFilter, limit: u32) -> QueryBuilder<'a, DB>
where
    DB: Database,
    String: Encode<'a, DB> + Type<DB>,
    i64: Encode<'a, DB> + Type<DB>,
{
    let limit = i64::from(limit);
    let mut query = QueryBuilder::new(format!("select {columns} from orders where id in (select id from ("));
    let mut statuses: Vec<_> = filter.statuses.iter().map(|status| Some(*status)).collect();
    statuses.sort_unstable();
    statuses.dedup();
    if statuses.is_empty() {
        statuses.push(None);
    }
    let equal = [
        ("token_in_symbol", filter.token_in.clone()),
        ("token_out_symbol", filter.token_out.clone()),
        ("wallet", filter.wallet.map(|wallet| wallet.to_string())),
    ];
    for (n, status) in statuses.into_iter().enumerate() {
        if n > 0 {
            query.push(" union all ");
        }
        query.push("select id from (select id from orders where true");
        if let Some(status) = status {
            query.push(" and status = ").push_bind(status.as_str().to_owned());
        }
        for (column, value) in &equal {
            if let Some(value) = value {
                query.push(format!(" and {column} = ")).push_bind(value.clone());
            }
        }
        if let Some(before) = filter.before {
            query.push(" and id < ").push_bind(before.to_string()).push(id_type);
        }
        query.push(" order by id desc limit ").push_bind(limit).push(format!(") as arm_{n}"));
    }
    query.push(") as arms order by id desc limit ").push_bind(limit).push(") order by orders.id desc");
    query
}
