//! HTTP behaviour: the scripts of `tests/http`, and what no script can show: connections, time limits, HTTP/2, the drain.

mod world;

/// One test for each script, named as the file is, and one that no script is forgotten.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let name = stringify!($name);
                world::script::run(name, include_str!(concat!("http/", stringify!($name), ".txt"))).await;
            }
        )*

        #[test]
        fn every_script_is_run() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http");
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
                .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
                .collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),*]);
        }
    };
}

scripts! {
    away
    changes
    conditions
    directories
    errors
    forwarded
    holds
    https
    instances
    links
    methods
    names
    not_public
    proxy_protocol
    queries
    ranges
    redirects
    stability
    types
    withdrawn_mirrors
    young
}
