/* What the sanitized executor is told, since it is started without an environment. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:exitcode=99:allow_user_segv_handler=0";
}

const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:exitcode=99:print_stacktrace=1";
}
