/*
 * The launch plan as bytes, and the reports that come back. Read by gcc (the
 * executor) and ahead of time by cffi (nestbox.executor._abi), so it holds only
 * enums, integer defines and structs of fixed width.
 *
 * Layout: nb_header, nb_step[steps], text[text_len]. A text operand is an offset
 * into text; text[0] is the empty string and the last byte of text is NUL. A list
 * is a number of strings one after another, a blob is bytes whose offset is a
 * multiple of 8. Each operation says which of its operands is which: "t0" is
 * text[0], "n1" is num[1]. Operands that are not named are zero.
 */
#define NB_MAGIC 0x3178626e
#define NB_VERSION 2
#define NB_TEXTS 3
#define NB_NUMS 6
#define NB_SLOTS 32
#define NB_VALUES 6
#define NB_MESSAGE 160
#define NB_MAX_STEPS 65536
#define NB_MAX_PLAN 67108864
#define NB_MAX_PAYLOAD 65536
#define NB_MAX_PRESERVED 65536

/* Descriptors that the executor is born with, besides 0, 1 and 2. */
#define NB_PLAN_FD 3
#define NB_CONTROL_FD 4
#define NB_LISTENER_FD 5 /* where `start` connects; only with NB_OP_WAIT_START */
#define NB_PRESERVED_FD 6 /* and those after it, for NB_OP_PRESERVE */

/* Descriptors that steps hand to each other by number. */
#define NB_SLOT_ROOT 0 /* the root of the container */
#define NB_SLOT_SCRATCH 1 /* a tmpfs that is gone after pivot */
#define NB_SLOT_PROC 2
#define NB_SLOT_DEV 3
#define NB_SLOT_PTS 4
#define NB_SLOT_NEW 5 /* the mount that is being made */
#define NB_SLOT_UPPER 6 /* directory of the overlay's upper layers */
#define NB_SLOT_NULL 7 /* the null device, to cover files with */
#define NB_SLOT_SYS 8
#define NB_SLOT_OWN_PROC 9 /* a proc directory that outlives the pivot */
#define NB_SLOT_MNT_NS 10 /* namespaces that are joined, until they are */
#define NB_SLOT_PID_NS 11
#define NB_SLOT_IPC_NS 12
#define NB_SLOT_UTS_NS 13
#define NB_SLOT_NET_NS 14
#define NB_SLOT_CGROUP_NS 15
#define NB_SLOT_TIME_NS 16
#define NB_SLOT_USER_NS 17
#define NB_SLOT_NONE 255

/* How a target is found and made; see NB_OP_ATTACH. */
#define NB_TARGET_NO_SYMLINKS 1 /* no component may be a symbolic link */
#define NB_TARGET_MAKE 2 /* make what is missing: the type of the attached tree */
#define NB_TARGET_ON_PROC 4 /* the target may lie on a proc file system */
#define NB_TARGET_OPTIONAL 8 /* a target that does not exist is no failure */

/* What of a tree is copied; see NB_OP_COPY_TREE. */
#define NB_COPY_SHALLOW 1 /* its files and links, and of its directories only the names */
#define NB_COPY_LENIENT 2 /* what may not be read is left out */
#define NB_COPY_PLAIN 4 /* without set-id bits and file capabilities */

/* When the working directory is entered: it may be open to the container's user alone. */
#define NB_CHDIR_NOW 0
#define NB_CHDIR_IF_ALLOWED 1 /* no right to it is no failure yet */
#define NB_CHDIR_POSTPONED 2 /* nothing, unless that was so */

enum nb_op {
	NB_OP_SYNC = 1, /* report NB_REPORT_SYNC, wait for go */
	NB_OP_PARENT_DEATH = 2, /* n0: signal to get when the parent dies */
	NB_OP_DUMPABLE = 3, /* n0: 0 or 1 */
	NB_OP_KEYRING = 4, /* a new session keyring without a name */
	NB_OP_UNSHARE = 5, /* n0: CLONE_NEW* */
	NB_OP_HOSTNAME = 6, /* t0 */
	NB_OP_LOOPBACK = 7, /* bring up lo */
	NB_OP_SESSION = 8, /* setsid */
	NB_OP_UMASK = 9, /* n0 */
	NB_OP_RLIMIT = 10, /* n0: resource, n1: soft, n2: hard */
	NB_OP_PROC_WRITE =
		11, /* t0: path below n0: slot of a proc directory, or NONE for the one at
	                          /proc, t1: value */
	NB_OP_TIME_OFFSETS = 12, /* t0: what timens_offsets takes */
	NB_OP_DOMAINNAME = 13, /* t0 */
	NB_OP_OPEN_NAMESPACE = 14, /* n0: slot, t0: path, n1: CLONE_NEW* that it must be */
	NB_OP_JOIN = 15, /* every namespace that is open */
	NB_OP_FORK = 16, /* the child goes on as a sibling; report NB_REPORT_FORKED */
	NB_OP_RECEIVE = 17, /* report NB_REPORT_SYNC, wait for go with a descriptor; n0: slot */
	NB_OP_WAIT_START = 18, /* report NB_REPORT_CREATED, wait for go on NB_LISTENER_FD */
	NB_OP_HOOK = 19, /* t0: path, t1: list of n0 args, t2: list of n1 variables,
	                    n2: milliseconds, 0 without limit; stdin is the payload of the last go */

	NB_OP_PROPAGATION = 20, /* of /; n0: MS_*, n1: and of everything below */
	NB_OP_OPEN_TREE = 21, /* n0: slot, t0: path, n1: base slot or NONE, n2: recursive,
	                         n3: type the file must have, 0 for any, n4: its device,
	                         n5: no component of the path may be a link */
	NB_OP_NEW_FS =
		22, /* n0: slot, t0: type, t1: list of n1 keys and values, n2: MOUNT_ATTR_*; t2: a
	           directory below n3: slot whose mode its root gets, or empty */
	NB_OP_SET_ATTR = 23, /* n0: slot, n1: set, n2: clear, n3: MS_* propagation, n4: recursive,
	                        n5: it is attached */
	NB_OP_ATTACH = 24, /* n0: slot, t0: target, n1: NB_TARGET_*, n2: mode of what is made,
	                      n3: slot of its / */
	NB_OP_ATTACH_ROOT = 25, /* n0: slot, t0: where in the outer tree */
	NB_OP_KEEP_SLOT = 26, /* n0: from, n1: to */
	NB_OP_OPEN_DIR = 27, /* n0: slot, t0: path in the outer environment, n1: magic of the file
	                        system whose root it must be, 0 for any */
	NB_OP_MKDIR = 28, /* n0: base slot, t0: name, n1: mode; t1: a directory of the outer tree
	                     whose owner and mode it gets, or empty; n2: one without an id here is not
	                     given to who has the id that stands for none */
	NB_OP_MAKE_FILE = 29, /* n0: base slot, t0: name, t1: text, n1: mode */
	NB_OP_FCHDIR = 30, /* n0: slot */
	NB_OP_MASK = 31, /* t0: path, n0: slot of the null device, n1: base slot of "empty",
	                    n2: slot of its / */
	NB_OP_READONLY = 32, /* t0: path, n0: slot of its /; one that does not exist is skipped */
	NB_OP_DEVICE =
		33, /* t0: path below n0: slot, n1: mode with type, n2: device, n3: uid, n4: gid */
	NB_OP_SYMLINK = 34, /* t0: path below n0: slot, t1: value, n1: NB_TARGET_* of its directory;
	                       a name that is taken is no failure */
	NB_OP_PIVOT = 35, /* NB_SLOT_ROOT becomes /, the old tree is gone */
	NB_OP_CHDIR = 36, /* t0: inside the new root, n0: NB_CHDIR_* */
	NB_OP_CONSOLE = 37, /* new pty of NB_SLOT_PTS as 0, 1, 2 and, unless empty, t0; n0: uid of
	                       its owner, n1: slot of the / of t0, n2: rows, n3: columns, or 0 */
	NB_OP_MAKE_DIRS = 38, /* t0: target, n0: mode */
	NB_OP_OPEN_TARGET =
		39, /* n0: slot, t0: target that exists, n1: NB_TARGET_*, n2: slot of its / */
	NB_OP_RECONFIGURE = 40, /* n0: slot of a mount, t0: list of n1 keys and values */
	NB_OP_COPY_UP = 41, /* n0: slot of the mount to fill, t0: directory, n1: slot of its / */
	NB_OP_PRIVATE_PARENT = 42, /* t0: path in the outer tree, whose mount becomes private */
	NB_OP_UNCOVER =
		43, /* t0: mount in the outer tree to unmount, n0: slot of "empty" to cover it
	                       with where it is locked or n1 is set */
	NB_OP_CHROOT = 44, /* NB_SLOT_ROOT becomes / of the process; n0: it is moved over / first */
	NB_OP_COPY_TREE = 45, /* t0: directory of the outer tree, t1: target below NB_SLOT_ROOT,
	                         n0: NB_COPY_*, n1: bytes of a file above which it is left out, 0 for
	                         none */
	NB_OP_FUSE =
		48, /* n0: slot, n1: MOUNT_ATTR_*; as NB_OP_LEND with the descriptor of /dev/fuse,
	                    whose program the runtime starts */
	NB_OP_OLD_MOUNTS =
		49, /* from here on mounts are changed by mount(2), as before Linux 5.12 */
	NB_OP_LEND = 47, /* n0: slot; report NB_REPORT_SYNC with its descriptor, wait for go */
	NB_OP_OLD_FS =
		46, /* as NB_OP_NEW_FS by mount(2), for values that fsconfig(2) does not take;
	                      n0: slot, t0: type, t1: source, t2: options, n1: MS_*,
	                      n2: slot of a directory with "old" */

	NB_OP_DROP_BOUNDING = 50, /* n0: mask */
	NB_OP_IDS = 51, /* n0: uid, n1: gid, t0: blob of n2 uint32 groups, n3: set groups */
	NB_OP_CAPSET = 52, /* n0: effective, n1: permitted, n2: inheritable */
	NB_OP_AMBIENT = 53, /* n0: mask, exactly */
	NB_OP_NO_NEW_PRIVS = 54,
	NB_OP_SECCOMP = 55, /* t0: blob of n0 sock_filters, n1: SECCOMP_FILTER_FLAG_*; a listener is
	                       reported by NB_REPORT_LISTENER */
	NB_OP_VERIFY = 56, /* n0: inh, n1: prm, n2: eff, n3: bnd, n4: amb, n5: last capability */
	NB_OP_INIT = 57, /* fork: the parent stays as a reaper, the child goes on */
	NB_OP_RAISE = 59, /* effective becomes permitted */
	NB_OP_EXEC = 58, /* t0: list of n0 args, t1: list of n1 variables, t2: list of n2 paths */

	NB_OP_SCHEDULER = 60, /* t0: blob of n0 bytes, a struct sched_attr */
	NB_OP_IO_PRIORITY = 61, /* n0 */
	NB_OP_AFFINITY = 62, /* t0: blob of n0 uint64 with a bit for each processor */
	NB_OP_MEMORY_POLICY = 63, /* n0: mode, t0: blob of n1 uint64 with a bit for each node */
	NB_OP_PERSONALITY = 64, /* n0 */
	NB_OP_OWN_STREAMS = 65, /* n0: uid that 0, 1 and 2 are given to */
	NB_OP_LABEL = 66, /* t2: value, t0: path below n0 as in NB_OP_PROC_WRITE, or, where the
	                     kernel does not have it, t1 */
	NB_OP_PRESERVE =
		67, /* n0: descriptors from NB_PRESERVED_FD on that become 3 and following */
	NB_OP_FIND_PROGRAM = 68, /* t0: list of n0 paths, of which one can be executed */

	NB_OP_END = 96
};

struct nb_header {
	uint32_t magic;
	uint32_t version;
	uint32_t steps;
	uint32_t text_len;
};

struct nb_step {
	uint32_t op;
	uint32_t text[3];
	uint64_t num[6];
};

enum nb_report_kind {
	NB_REPORT_FAILED = 1, /* step, err, and what the file system said */
	NB_REPORT_SYNC = 2, /* carries the descriptor of NB_OP_LEND */
	NB_REPORT_CONSOLE = 3, /* carries the pty's master end */
	NB_REPORT_SETS = 4, /* value: inh prm eff bnd amb, as the kernel shows them */
	NB_REPORT_CREATED = 5, /* the last one before `start` */
	NB_REPORT_FORKED = 6, /* value[0]: pid of the process that goes on */
	NB_REPORT_LISTENER = 7, /* carries the descriptor of a seccomp filter's notifications */
};

/*
 * A go is one message: 'g', then up to NB_MAX_PAYLOAD bytes for the hooks that follow, and in
 * answer to NB_OP_RECEIVE one descriptor.
 *
 * Of a failed NB_OP_HOOK: err is ECHILD and value[0] 1 with its status in value[1] or 2 with its
 * signal there, or ETIMEDOUT, or what stopped its exec; the message is the end of its output.
 */
struct nb_report {
	uint32_t kind;
	int32_t step; /* -1: the plan itself was refused */
	int32_t err; /* errno */
	uint32_t reserved;
	uint64_t value[6];
	char message[160]; /* NUL-terminated; of fsopen(2) contexts and hooks */
};
