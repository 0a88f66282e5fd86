//! A ledger of version 1, as that version of the program left it, in the hands of this one.

use rusqlite::Connection;
use shared::HoldId;
use tempfile::TempDir;

use super::schema::{STEPS, open_read_only};
use super::*;
use crate::store::conformance::{mc, prove};
use crate::store::{DaySpent, Purse, ServiceState, Settlement};

const EXAMPLE: &str = include_str!("schema/version_1_example.sql");
/// `DPoW`.
const APPLICATION: i32 = 1_146_122_071;

fn path_in(directory: &TempDir) -> PathBuf {
    directory.path().join("ledger.sqlite")
}

/// Makes the file of the example.
fn version_1() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let connection = Connection::open(path_in(&directory)).unwrap();
    connection.execute_batch(STEPS[0]).unwrap();
    connection.execute_batch(EXAMPLE).unwrap();
    connection.pragma_update(None, "application_id", APPLICATION).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    directory
}

/// Every table of a file with its columns.
fn columns(connection: &Connection) -> Vec<(String, Vec<String>)> {
    let names = |query: &str| -> Vec<String> {
        let mut find = connection.prepare(query).unwrap();
        find.query_map([], |found| found.get(0)).unwrap().map(Result::unwrap).collect()
    };
    names("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .into_iter()
        .map(|table| {
            let columns = names(&format!("SELECT name FROM pragma_table_info('{table}')"));
            (table, columns)
        })
        .collect()
}

/// All that these columns hold, as SQL would write it.
fn contents(connection: &Connection, tables: &[(String, Vec<String>)]) -> Vec<String> {
    let mut contents = Vec::new();
    for (table, columns) in tables {
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        let query = format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ',' || "));
        let mut find = connection.prepare(&query).unwrap();
        let rows = find.query_map([], |found| found.get::<_, String>(0)).unwrap();
        contents.extend(rows.map(|row| format!("{table}: {}", row.unwrap())));
    }
    contents
}

fn schema_of(connection: &Connection) -> Vec<Option<String>> {
    let mut find = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
    find.query_map([], |found| found.get(0)).unwrap().map(Result::unwrap).collect()
}

fn open(directory: &TempDir) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(&path_in(directory), Network::Dev)
}

#[tokio::test]
async fn version_1_becomes_version_5() {
    let directory = version_1();
    let connection = Connection::open(path_in(&directory)).unwrap();
    let tables = columns(&connection);
    let before = contents(&connection, &tables);
    assert_eq!(before.len(), EXAMPLE.matches("INSERT").count());
    drop(connection);
    assert!(matches!(
        open_read_only(&path_in(&directory), Network::Dev),
        Err(OpenError::Older { found: 1, wanted: 5 })
    ));

    for _ in 0..2 {
        let store = open(&directory).unwrap();
        let services: Vec<_> = store.services().await.unwrap();
        assert!(services.iter().all(|service| service.state == ServiceState::Active));
        assert!(services.iter().all(|service| service.since == service.at), "{services:?}");
        assert_eq!(services.len(), 3);
        let keys = store.keys().await.unwrap();
        assert_eq!(keys.len(), 3);
        for key in keys {
            assert_eq!((key.record.expires, key.last_used, key.record.label.as_str()), (None, None, ""));
        }
        let wallet = store.balance("wallet".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((wallet.granted, wallet.paid), (mc(0), mc(2000)));
        let totals = store.worker_totals(None).await.unwrap();
        assert_eq!((totals[0].works, totals[0].earned, totals.len()), (2, mc(914), 1));
        prove(&store).await;
    }
    let connection = Connection::open(path_in(&directory)).unwrap();
    assert_eq!(contents(&connection, &tables), before, "nothing of it is lost or changed");

    let fresh = tempfile::tempdir().unwrap();
    drop(open(&fresh).unwrap());
    let fresh = Connection::open(path_in(&fresh)).unwrap();
    assert_eq!(schema_of(&connection), schema_of(&fresh), "as if it had been made by this version");
}

/// What version 1 had settled stays settled: the same settlement again is that one, and moves nothing.
#[tokio::test]
async fn what_version_1_settled_is_not_settled_again() {
    let directory = version_1();
    let store = open(&directory).unwrap();
    let before = store.parties().await.unwrap();
    let settled = store.settled_since(Timestamp::default(), 9).await.unwrap();
    let work = settled.last().unwrap();
    let again = Settlement {
        hold: HoldId::from_u128(0x179f_3dc0_0219_97c0_0000_0000_0000_0001),
        service: work.service,
        root: work.root,
        nonce: work.nonce,
        difficulty: shared::pow::difficulty(&work.root, work.nonce),
        threshold: Network::Dev.send_threshold(),
        worker: work.worker,
        payee: work.payee,
        at: work.at,
    };
    let answer = Answer::Settled { charged: mc(1000), balance: mc(2000), earned: mc(900) };
    assert_eq!(store.execute(vec![Verb::Settle(again)]).await.unwrap(), [answer]);
    assert_eq!(store.parties().await.unwrap(), before);
}

/// What was precached on the day of the step goes on to count for that day.
#[tokio::test]
async fn what_was_precached_today_is_spent_today() {
    let directory = version_1();
    let connection = Connection::open(path_in(&directory)).unwrap();
    let settled = |counter: u64, at: u64, charged: u64| {
        let hold = HoldId::of_precache(1, counter).as_u128();
        let insert = format!(
            "INSERT INTO settlement SELECT NULL, X'{hold:032x}', service, root, nonce, difficulty, threshold, worker, payee,
                 {charged}, balance, 0, {at} FROM settlement WHERE sequence = 1"
        );
        connection.execute_batch(&insert).unwrap();
    };
    let day = 86_400_000_000;
    for (counter, at, charged) in [(1, 9 * day, 16), (2, 9 * day + 1, 1000), (3, 8 * day, 7), (4, 9 * day, 0)]
    {
        settled(counter, at, charged);
    }
    drop(connection);
    let purse = Purse::Precache("wallet".parse().unwrap());
    let spent = open(&directory).unwrap().spent().await.unwrap();
    assert_eq!(spent, [DaySpent { purse, day: 9, amount: mc(1016) }]);
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_older_version() {
    let directory = version_1();
    let connection = Connection::open(path_in(&directory)).unwrap();
    // In the way of the last statement of the step.
    connection.execute_batch("CREATE TABLE watch (of_somebody_else TEXT)").unwrap();
    let (tables, schema) = (columns(&connection), schema_of(&connection));
    let before = contents(&connection, &tables);
    assert!(matches!(open(&directory), Err(OpenError::Unreadable(_))));
    assert_eq!((columns(&connection), schema_of(&connection)), (tables.clone(), schema));
    assert_eq!(contents(&connection, &tables), before);
    assert_eq!(connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).unwrap(), 1);

    connection.execute_batch("DROP TABLE watch").unwrap();
    drop(connection);
    prove(&open(&directory).unwrap()).await;
}
