/*
 * How the executor is started: one clone3(2) with every new namespace, straight
 * into a sealed copy of the program; or clone(2), where a filter hides the newer
 * call. Read by gcc and by cffi.
 */
struct nb_spawn {
	uint64_t flags; /* of clone3(2): CLONE_NEW*, CLONE_PARENT */
	int32_t plain; /* whether clone(2) is called: the child enters its cgroup by itself */
	const uint8_t *plan; /* what the child reads on descriptor 3 */
	uint64_t plan_size;
	int32_t program; /* descriptor that is executed */
	int32_t cgroup; /* directory in which the child is born, or -1 */
	/*
	 * Files "tasks" of version 1 cgroups, which the child enters by itself as far as it can; here
	 * -1 takes the place of each that it has entered.
	 */
	int32_t *tasks;
	int32_t tasks_count;
	/*
	 * What the child is given, by its number there, -1 for nothing; changed here. 3 and 4 are the
	 * plan and the control socket, which are filled in.
	 */
	int32_t *given;
	int32_t given_count;
	int32_t pidfd; /* out */
	int32_t control; /* out: our end of the child's descriptor 4 */
};

/* Returns the pid, or -errno with nothing left behind. */
int64_t nb_spawn(struct nb_spawn *request);
