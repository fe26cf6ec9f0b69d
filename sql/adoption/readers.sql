-- Who could read the old table, its owner apart; null stands for everyone.
SELECT DISTINCT pg_roles.rolname::text
FROM pg_class
CROSS JOIN LATERAL aclexplode(relacl) AS acl
LEFT JOIN pg_roles ON pg_roles.oid = grantee
WHERE pg_class.oid = 'lms_activities_before_adoption'::regclass AND privilege_type = 'SELECT' AND grantee <> relowner
ORDER BY 1;
