/*
 * How a program of the outer environment is started that works for a container: in
 * a session of its own, and it dies with the thread that started it. Read by gcc and
 * by cffi.
 */
struct nb_helper {
	const char *program; /* its path */
	char **arguments; /* with the name in front, NULL at the end */
	char **environment; /* NULL at the end */
	const int32_t *kept; /* descriptors that it gets under their numbers here */
	int32_t kept_count;
	int32_t directory; /* descriptor of the directory that it starts in, or -1 for / */
	int32_t output; /* descriptor that becomes its standard output and error */
	int32_t pidfd; /* out */
};

/* Returns the pid, or -errno with nothing left behind. */
int64_t nb_start_helper(struct nb_helper *request);
