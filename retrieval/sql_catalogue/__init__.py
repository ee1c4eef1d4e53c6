"""The catalogue in SQL, the same code on SQLite and PostgreSQL.

`tables` says what is stored, `database` opens engines and runs transactions, and each other module is one noun of the
`Catalogue` port. What several nouns write in one transaction (a version, a task, a dead letter) is in `ledger`.
"""
