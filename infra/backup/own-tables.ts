/** The tables that migrations made, by name; servers keep some of their own beside them. */
export const ownTablesSql = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '[a-z]*' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'libsql_*' ORDER BY name`
