drop function pg_temp.may_define(text);
