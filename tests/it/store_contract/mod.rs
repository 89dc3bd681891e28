//! The store's contract: one story, told to every backend.
//!
//! Each scenario takes the URL of a fresh, empty database, so that it may open it as often as it likes.

mod caps;
mod dead_letters;
mod groups;
mod life;
mod outages;
mod reading;
mod reservations;
pub(crate) mod sample;
mod stops;
mod upgrades;
mod webhooks;

use swapd::store::{self, SharedStore};

async fn open(url: &str) -> SharedStore {
    store::open(url).await.unwrap()
}

macro_rules! on_every_backend {
    ($($story:ident::$scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$story::$scenario(format!("sqlite:{}", folder.path().join("orders.db").display())).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$story::$scenario(crate::support::servers::fresh_database().await).await;
                }
            )+
        }
    };
}

on_every_backend![
    dead_letters::an_order_is_set_aside_and_comes_back_as_it_was,
    dead_letters::only_what_has_something_left_to_do_can_be_set_aside,
    dead_letters::a_row_that_cannot_be_read_is_set_aside_and_listed,
    dead_letters::take_ups_are_counted_until_the_order_moves_or_is_put_down,
    dead_letters::an_unknown_outcome_is_kept_until_there_is_evidence,
    life::an_order_comes_back_with_every_field,
    life::an_order_lives_from_created_to_settled,
    life::every_attempt_keeps_its_outcome,
    life::a_paper_fill_has_no_transaction,
    life::odd_characters_do_not_stop_an_order,
    life::facts_are_remembered,
    life::a_reopened_store_has_everything,
    caps::parallel_orders_never_spend_more_than_the_caps,
    caps::only_the_last_hour_and_what_did_not_fail_counts,
    stops::a_paused_store_takes_no_signature_from_anybody,
    stops::overdue_orders_are_found_until_something_is_signed,
    groups::one_of_many_parallel_appends_wins,
    groups::a_refused_write_leaves_its_group_alone,
    groups::a_dropped_caller_does_not_break_its_group,
    groups::what_is_handed_over_without_waiting_is_stored_in_its_order,
    groups::after_a_refused_event_nothing_handed_over_is_stored,
    groups::commits_are_told_in_the_order_of_their_cursors,
    groups::closing_finishes_the_writes_that_wait,
    groups::one_key_makes_one_order,
    groups::a_key_with_another_body_is_a_conflict,
    reading::history_starts_where_it_is_asked_to,
    reading::a_polling_reader_misses_no_event,
    reading::lists_are_newest_first_filtered_and_paged,
    reading::a_row_that_cannot_be_read_hides_no_other_of_its_page,
    reading::unfinished_orders_are_found,
    reservations::parallel_reservations_never_exceed_the_balance,
    reservations::the_census_counts_open_orders_and_their_promises,
    reservations::an_order_that_ended_frees_only_newer_balances,
    reservations::a_new_reservation_replaces_the_old_one,
    reservations::the_largest_amounts_are_summed_exactly,
    reservations::what_is_promised_is_summed_by_wallet_and_mint,
    upgrades::a_database_of_every_earlier_version_keeps_all_it_has,
    webhooks::a_webhook_comes_back_as_it_was_and_as_it_was_changed,
    webhooks::each_event_is_delivered_once_whoever_reads_the_history_twice,
    webhooks::an_orders_events_wait_for_each_other_and_other_orders_do_not,
    webhooks::a_receiver_that_is_back_gets_what_waits_at_once,
    webhooks::a_delivery_that_is_asked_for_again_waits_for_nobody,
    webhooks::the_log_says_what_came_of_every_try_and_is_bounded,
    webhooks::a_webhook_that_fails_for_long_is_disabled_and_goes_on_as_its_owner_says,
    webhooks::many_tries_of_many_webhooks_are_stored_together,
    webhooks::an_event_that_cannot_be_read_does_not_hide_the_others,
    webhooks::a_damaged_try_spoils_no_page_that_it_is_not_on,
    webhooks::a_webhook_is_changed_while_its_tries_are_stored,
    webhooks::a_lease_has_one_holder_until_it_ends,
];
