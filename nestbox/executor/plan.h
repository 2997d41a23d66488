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
#define NB_VERSION 1
#define NB_TEXTS 3
#define NB_NUMS 6
#define NB_SLOTS 16
#define NB_VALUES 6
#define NB_MESSAGE 160
#define NB_MAX_STEPS 65536
#define NB_MAX_PLAN 67108864

/* Descriptors that the executor is born with, besides 0, 1 and 2. */
#define NB_PLAN_FD 3
#define NB_CONTROL_FD 4

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
#define NB_SLOT_NONE 255

/* How a target is found and made; see NB_OP_ATTACH. */
#define NB_TARGET_NO_SYMLINKS 1 /* no component may be a symbolic link */
#define NB_TARGET_MAKE 2 /* make what is missing: the type of the attached tree */
#define NB_TARGET_ON_PROC 4 /* the target may lie on a proc file system */
#define NB_TARGET_OPTIONAL 8 /* a target that does not exist is no failure */

enum nb_op {
	NB_OP_SYNC = 1, /* report NB_REPORT_SYNC, wait for one byte */
	NB_OP_PARENT_DEATH = 2, /* n0: signal to get when the parent dies */
	NB_OP_DUMPABLE = 3, /* n0: 0 or 1 */
	NB_OP_KEYRING = 4, /* a new session keyring without a name */
	NB_OP_UNSHARE = 5, /* n0: CLONE_NEW* */
	NB_OP_HOSTNAME = 6, /* t0 */
	NB_OP_LOOPBACK = 7, /* bring up lo */
	NB_OP_SESSION = 8, /* setsid */
	NB_OP_UMASK = 9, /* n0 */
	NB_OP_RLIMIT = 10, /* n0: resource, n1: soft, n2: hard */
	NB_OP_PROC_WRITE = 11, /* t0: path below NB_SLOT_PROC, t1: value */

	NB_OP_PROPAGATION = 20, /* of everything below /; n0: MS_* */
	NB_OP_OPEN_TREE = 21, /* n0: slot, t0: path, n1: base slot or NONE, n2: recursive,
	                         n3: type the file must have, 0 for any, n4: its device */
	NB_OP_NEW_FS =
		22, /* n0: slot, t0: type, t1: list of n1 keys and values, n2: MOUNT_ATTR_* */
	NB_OP_SET_ATTR = 23, /* n0: slot, n1: set, n2: clear, n3: MS_* propagation, n4: recursive */
	NB_OP_ATTACH = 24, /* n0: slot, t0: target, n1: NB_TARGET_*, n2: mode of what is made,
	                      n3: slot of its / */
	NB_OP_ATTACH_ROOT = 25, /* n0: slot, over the present / */
	NB_OP_KEEP_SLOT = 26, /* n0: from, n1: to */
	NB_OP_OPEN_DIR = 27, /* n0: slot, t0: path in the outer environment */
	NB_OP_MKDIR = 28, /* n0: base slot, t0: name, n1: mode */
	NB_OP_MAKE_FILE = 29, /* n0: base slot, t0: name, t1: text, n1: mode */
	NB_OP_FCHDIR = 30, /* n0: slot */
	NB_OP_MASK = 31, /* t0: path, n0: slot of the null device, n1: base slot of "empty",
	                    n2: slot of its / */
	NB_OP_READONLY = 32, /* t0: path, n0: slot of its /; one that does not exist is skipped */
	NB_OP_DEVICE =
		33, /* t0: name below n0: slot, n1: mode with type, n2: device, n3: uid, n4: gid */
	NB_OP_SYMLINK = 34, /* t0: name below n0: slot, t1: value */
	NB_OP_PIVOT = 35, /* NB_SLOT_ROOT becomes /, the old tree is gone */
	NB_OP_CHDIR = 36, /* t0: inside the new root */
	NB_OP_CONSOLE = 37, /* new pty of NB_SLOT_PTS as 0, 1, 2 and t0; n0: uid of its owner,
	                       n1: slot of the / of t0 */
	NB_OP_MAKE_DIRS = 38, /* t0: target, n0: mode */

	NB_OP_DROP_BOUNDING = 50, /* n0: mask */
	NB_OP_IDS = 51, /* n0: uid, n1: gid, t0: blob of n2 uint32 groups, n3: set groups */
	NB_OP_CAPSET = 52, /* n0: effective, n1: permitted, n2: inheritable */
	NB_OP_AMBIENT = 53, /* n0: mask, exactly */
	NB_OP_NO_NEW_PRIVS = 54,
	NB_OP_SECCOMP = 55, /* t0: blob of n0 sock_filters, n1: SECCOMP_FILTER_FLAG_* */
	NB_OP_VERIFY = 56, /* n0: inh, n1: prm, n2: eff, n3: bnd, n4: amb, n5: last capability */
	NB_OP_INIT = 57, /* fork: the parent stays as a reaper, the child goes on */
	NB_OP_RAISE = 59, /* effective becomes permitted */
	NB_OP_EXEC = 58, /* t0: list of n0 args, t1: list of n1 variables, t2: list of n2 paths */

	NB_OP_END = 64
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
	NB_REPORT_SYNC = 2,
	NB_REPORT_CONSOLE = 3, /* carries the pty's master end */
	NB_REPORT_SETS = 4, /* value: inh prm eff bnd amb, as the kernel shows them */
};

struct nb_report {
	uint32_t kind;
	int32_t step; /* -1: the plan itself was refused */
	int32_t err; /* errno */
	uint32_t reserved;
	uint64_t value[6];
	char message[160]; /* NUL-terminated; of fsopen(2) contexts */
};
