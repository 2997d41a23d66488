/*
 * One function for each system call that nestbox uses, and the rights of the
 * calling thread in one call. Each returns what the kernel returned, or -errno.
 * Read by gcc and by cffi, so it holds only structs of fixed width and prototypes.
 */
struct nb_rights {
	uint64_t inheritable;
	uint64_t permitted;
	uint64_t effective;
	uint64_t bounding;
	uint64_t ambient;
	uint64_t securebits;
	int32_t no_new_privs;
	int32_t last; /* the highest capability that PR_CAPBSET_READ knows */
};

/* What the kernel itself says of the calling thread. */
int64_t nb_thread_rights(struct nb_rights *rights);

/* effective, permitted and inheritable of a thread, as 64-bit masks; pid 0 is the caller */
int64_t nb_capget(int32_t pid, uint64_t *effective, uint64_t *permitted, uint64_t *inheritable);
int64_t nb_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
int64_t nb_prctl(int32_t option, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

int64_t nb_openat2(int32_t dirfd, const char *path, uint64_t flags, uint64_t mode,
		   uint64_t resolve);
int64_t nb_faccessat2(int32_t dirfd, const char *path, int32_t mode, int32_t flags);
/* the type of the file system that a descriptor is on: statfs(2) f_type */
int64_t nb_fstatfs_type(int32_t fd);

struct nb_cached_stat {
	uint64_t inode;
	uint32_t mode; /* type and permissions */
	uint32_t block_size;
};

/* statx(2) of what a path names, no link followed, without a question to any server */
int64_t nb_stat_cached(const char *path, struct nb_cached_stat *facts);

int64_t nb_open_tree(int32_t dirfd, const char *path, uint32_t flags);
int64_t nb_move_mount(int32_t from, const char *from_path, int32_t to, const char *to_path,
		      uint32_t flags);
int64_t nb_fsopen(const char *type, uint32_t flags);
/* value may be NULL, for the commands that take none */
int64_t nb_fsconfig(int32_t fd, uint32_t command, const char *key, const char *value, int32_t aux);
int64_t nb_fsmount(int32_t fd, uint32_t flags, uint32_t attributes);
int64_t nb_mount_setattr(int32_t dirfd, const char *path, uint32_t flags, uint64_t set,
			 uint64_t clear, uint64_t propagation, uint64_t userns);
int64_t nb_mount(const char *source, const char *target, const char *type, uint64_t flags,
		 const char *data);
int64_t nb_umount2(const char *target, int32_t flags);
int64_t nb_pivot_root(const char *new_root, const char *put_old);

int64_t nb_setns(int32_t fd, int32_t types);
int64_t nb_unshare(uint64_t flags);
/*
 * Of ioctl_ns(2): a new descriptor of the parent, or of the user namespace that owns
 * it; the uid of the owner, the flag of clone(2).
 */
int64_t nb_ns_get_parent(int32_t fd);
int64_t nb_ns_get_userns(int32_t fd);
int64_t nb_ns_get_owner_uid(int32_t fd);
int64_t nb_ns_get_nstype(int32_t fd);

int64_t nb_pidfd_open(int32_t pid, uint32_t flags);
int64_t nb_pidfd_send_signal(int32_t pidfd, int32_t signal);
int64_t nb_close_range(uint32_t first, uint32_t last, uint32_t flags);
int64_t nb_memfd_create(const char *name, uint32_t flags);
int64_t nb_seccomp(uint32_t operation, uint32_t flags, const void *argument);
/* the operations of keyctl(2) whose arguments are numbers */
int64_t nb_keyctl(int32_t operation, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/*
 * bpf(2), as far as the device programs of cgroups need it. ``instructions`` are count structs
 * bpf_insn; ``log`` (may be NULL) receives what the verifier says. replaced is -1 for none.
 */
int64_t nb_bpf_prog_load(uint32_t type, const void *instructions, uint32_t count,
			 const char *license, char *log, uint32_t log_size);
int64_t nb_bpf_prog_attach(int32_t target, int32_t program, uint32_t type, uint32_t flags,
			   int32_t replaced);
int64_t nb_bpf_prog_detach(int32_t target, int32_t program, uint32_t type);
/* count is the room in ids before, and how many programs are attached after */
int64_t nb_bpf_prog_query(int32_t target, uint32_t type, uint32_t *ids, uint32_t *count);
int64_t nb_bpf_prog_get_fd_by_id(uint32_t id);
