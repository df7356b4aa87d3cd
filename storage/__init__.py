"""Keep: records, their hashes and signatures, the database. Knows neither probes nor reports."""
