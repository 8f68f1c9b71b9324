SET jit = off; SET search_path = ''; SET statement_timeout = 0;
WITH spaces AS (
  SELECT oid, nspname FROM pg_catalog.pg_namespace
  WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'upkeep_check')
    AND nspname !~ '^pg_(temp|toast)_'
), members AS (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), relations AS (
  SELECT c.oid, c.relkind, c.relpersistence, n.nspname, c.relname, n.nspname || '.' || c.relname AS name
  FROM pg_catalog.pg_class c JOIN spaces n ON n.oid = c.relnamespace
  WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'm', 'v', 'S', 'f', 'i', 'I')
    AND NOT EXISTS (SELECT FROM members m
      WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid)
), definitions AS (
  SELECT 'schema ' || nspname AS name, '' AS definition FROM spaces
  UNION ALL
  SELECT CASE relkind WHEN 'm' THEN 'matview ' WHEN 'v' THEN 'view ' WHEN 'f' THEN 'foreign ' ELSE 'table ' END || name,
    relpersistence::text || coalesce((
      SELECT pg_catalog.string_agg(pg_catalog.format('%s %s %s %s %s', a.attname,
        pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_catalog.pg_get_expr(d.adbin, d.adrelid)), E'\n' ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a
      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = relations.oid AND a.attnum > 0 AND NOT a.attisdropped), '')
    || CASE WHEN relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(oid) ELSE '' END
  FROM relations WHERE relkind IN ('r', 'p', 'm', 'v', 'f')
  UNION ALL
  SELECT 'sequence ' || name, '' FROM relations WHERE relkind = 'S'
  UNION ALL
  SELECT 'index ' || name, pg_catalog.pg_get_indexdef(oid) FROM relations WHERE relkind IN ('i', 'I')
  UNION ALL
  SELECT 'constraint ' || coalesce(r.name || '.', '') || k.conname, pg_catalog.pg_get_constraintdef(k.oid)
  FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid WHERE k.contype <> 'n'
  UNION ALL
  SELECT 'trigger ' || r.name || '.' || t.tgname, pg_catalog.pg_get_triggerdef(t.oid)
  FROM pg_catalog.pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
  UNION ALL
  SELECT 'policy ' || r.name || '.' || p.polname, '' FROM pg_catalog.pg_policy p JOIN relations r ON r.oid = p.polrelid
  UNION ALL
  SELECT 'routine ' || n.nspname || '.' || p.proname
    || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', p.prosrc
  FROM pg_catalog.pg_proc p JOIN spaces n ON n.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM members m
      WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid)
  UNION ALL
  SELECT 'type ' || n.nspname || '.' || t.typname, coalesce((
      SELECT pg_catalog.string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
      FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '')
  FROM pg_catalog.pg_type t JOIN spaces n ON n.oid = t.typnamespace
  WHERE t.typtype IN ('e', 'd')
    AND NOT EXISTS (SELECT FROM members m
      WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND m.objid = t.oid)
  UNION ALL
  SELECT 'extension ' || e.extname, ''
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
  WHERE n.nspname <> 'upkeep_check'
)
SELECT pg_catalog.json_build_object(
  'upkeep_baseline', 1, 'engine', 'postgresql', 'database', pg_catalog.current_database(),
  'taken', pg_catalog.date_part('epoch', pg_catalog.now()),
  'server_version', pg_catalog.current_setting('server_version'),
  'rows', (SELECT coalesce(pg_catalog.json_object_agg(name, pg_catalog.substring(pg_catalog.query_to_xml(
      pg_catalog.format('SELECT pg_catalog.count(*) AS c FROM ONLY %I.%I', nspname, relname), false, true, '')::text,
      '<c>([0-9]+)</c>')::bigint ORDER BY name), '{}') FROM relations WHERE relkind IN ('r', 'm')),
  'objects', (SELECT coalesce(pg_catalog.json_object_agg(name, CASE definition WHEN '' THEN '' ELSE pg_catalog.md5(
      pg_catalog.regexp_replace(definition, '::"?[a-z_ ]+"?(\[\])?|[() \n]', '', 'g')) END ORDER BY name), '{}')
    FROM definitions),
  'invalid', (SELECT coalesce(pg_catalog.json_agg(name ORDER BY name), '[]') FROM (
      SELECT 'constraint ' || r.name || '.' || k.conname AS name
      FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid WHERE NOT k.convalidated
      UNION ALL
      SELECT 'index ' || r.name FROM pg_catalog.pg_index i JOIN relations r ON r.oid = i.indexrelid
      WHERE NOT i.indisvalid AND r.relkind = 'i') AS broken));
