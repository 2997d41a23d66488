/*
 * nestbox-init: executes a launch plan, then becomes the container's process.
 *
 * It decides nothing, formats nothing and falls back on nothing. The plan comes
 * on NB_PLAN_FD and is refused whole when any operand in it is out of bounds. The
 * first step that fails is reported on the control socket as a struct nb_report;
 * that socket closes at the final exec, which is how success is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kernel/close_from.h"
#include "init.h"
#include "syscalls.h"

/* One operation: its function, and which operands are lists or blobs. */
struct operation {
	op_function *run;
	signed char list_count[NB_TEXTS]; /* 1 + the number with the count of the strings; 0: one */
	signed char blob_count; /* 1 + the number with the count of elements of text 0 */
	unsigned char blob_size; /* of one element */
	signed char slots[3]; /* 1 + the numbers that name slots */
	signed char base; /* 1 + the number that names a slot or NB_SLOT_NONE */
};

static const struct operation operations[NB_OP_END] = {
	[NB_OP_SYNC] = { .run = op_sync },
	[NB_OP_PARENT_DEATH] = { .run = op_parent_death },
	[NB_OP_DUMPABLE] = { .run = op_dumpable },
	[NB_OP_KEYRING] = { .run = op_keyring },
	[NB_OP_UNSHARE] = { .run = op_unshare },
	[NB_OP_HOSTNAME] = { .run = op_hostname },
	[NB_OP_LOOPBACK] = { .run = op_loopback },
	[NB_OP_SESSION] = { .run = op_session },
	[NB_OP_UMASK] = { .run = op_umask },
	[NB_OP_RLIMIT] = { .run = op_rlimit },
	[NB_OP_PROC_WRITE] = { .run = op_proc_write, .base = 1 },
	[NB_OP_TIME_OFFSETS] = { .run = op_time_offsets },
	[NB_OP_DOMAINNAME] = { .run = op_domainname },
	[NB_OP_OPEN_NAMESPACE] = { .run = op_open_namespace, .slots = { 1 } },
	[NB_OP_JOIN] = { .run = op_join },
	[NB_OP_FORK] = { .run = op_fork },
	[NB_OP_RECEIVE] = { .run = op_receive, .slots = { 1 } },
	[NB_OP_WAIT_START] = { .run = op_wait_start },
	[NB_OP_HOOK] = { .run = op_hook, .list_count = { 0, 1, 2 } },
	[NB_OP_PROPAGATION] = { .run = op_propagation },
	[NB_OP_OPEN_TREE] = { .run = op_open_tree, .slots = { 1 }, .base = 2 },
	[NB_OP_NEW_FS] = { .run = op_new_fs, .list_count = { 0, 2 }, .slots = { 1 }, .base = 4 },
	[NB_OP_SET_ATTR] = { .run = op_set_attr, .slots = { 1 } },
	[NB_OP_ATTACH] = { .run = op_attach, .slots = { 1, 4 } },
	[NB_OP_ATTACH_ROOT] = { .run = op_attach_root, .slots = { 1 } },
	[NB_OP_KEEP_SLOT] = { .run = op_keep_slot, .slots = { 1, 2 } },
	[NB_OP_OPEN_DIR] = { .run = op_open_dir, .slots = { 1 } },
	[NB_OP_MKDIR] = { .run = op_mkdir, .slots = { 1 } },
	[NB_OP_MAKE_FILE] = { .run = op_make_file, .slots = { 1 } },
	[NB_OP_FCHDIR] = { .run = op_fchdir, .slots = { 1 } },
	[NB_OP_MASK] = { .run = op_mask, .slots = { 1, 2, 3 } },
	[NB_OP_READONLY] = { .run = op_readonly, .slots = { 1 } },
	[NB_OP_DEVICE] = { .run = op_device, .slots = { 1 } },
	[NB_OP_SYMLINK] = { .run = op_symlink, .slots = { 1 } },
	[NB_OP_PIVOT] = { .run = op_pivot },
	[NB_OP_CHDIR] = { .run = op_chdir },
	[NB_OP_CONSOLE] = { .run = op_console, .slots = { 2 } },
	[NB_OP_MAKE_DIRS] = { .run = op_make_dirs },
	[NB_OP_OPEN_TARGET] = { .run = op_open_target, .slots = { 1, 3 } },
	[NB_OP_RECONFIGURE] = { .run = op_reconfigure, .list_count = { 2 }, .slots = { 1 } },
	[NB_OP_COPY_UP] = { .run = op_copy_up, .slots = { 1, 2 } },
	[NB_OP_COPY_TREE] = { .run = op_copy_tree },
	[NB_OP_FUSE] = { .run = op_fuse, .slots = { 1 } },
	[NB_OP_OLD_MOUNTS] = { .run = op_old_mounts },
	[NB_OP_LEND] = { .run = op_lend, .slots = { 1 } },
	[NB_OP_OLD_FS] = { .run = op_old_fs, .slots = { 1, 3 } },
	[NB_OP_PRIVATE_PARENT] = { .run = op_private_parent },
	[NB_OP_UNCOVER] = { .run = op_uncover, .slots = { 1 } },
	[NB_OP_CHROOT] = { .run = op_chroot },
	[NB_OP_DROP_BOUNDING] = { .run = op_drop_bounding },
	[NB_OP_IDS] = { .run = op_ids, .blob_count = 3, .blob_size = 4 },
	[NB_OP_CAPSET] = { .run = op_capset },
	[NB_OP_AMBIENT] = { .run = op_ambient },
	[NB_OP_NO_NEW_PRIVS] = { .run = op_no_new_privs },
	[NB_OP_SECCOMP] = { .run = op_seccomp, .blob_count = 1, .blob_size = 8 },
	[NB_OP_VERIFY] = { .run = op_verify },
	[NB_OP_RAISE] = { .run = op_raise },
	[NB_OP_INIT] = { .run = op_init },
	[NB_OP_EXEC] = { .run = op_exec, .list_count = { 1, 2, 3 } },
	[NB_OP_SCHEDULER] = { .run = op_scheduler, .blob_count = 1, .blob_size = 1 },
	[NB_OP_IO_PRIORITY] = { .run = op_io_priority },
	[NB_OP_AFFINITY] = { .run = op_affinity, .blob_count = 1, .blob_size = 8 },
	[NB_OP_MEMORY_POLICY] = { .run = op_memory_policy, .blob_count = 2, .blob_size = 8 },
	[NB_OP_PERSONALITY] = { .run = op_personality },
	[NB_OP_OWN_STREAMS] = { .run = op_own_streams },
	[NB_OP_LABEL] = { .run = op_label, .base = 1 },
	[NB_OP_PRESERVE] = { .run = op_preserve },
	[NB_OP_FIND_PROGRAM] = { .run = op_find_program, .list_count = { 1 } },
};

int slots[NB_SLOTS];
struct nb_report report;

void set_slot(uint64_t slot, int fd)
{
	if (slots[slot] >= 0)
		close(slots[slot]);
	slots[slot] = fd;
}

/* Whether count strings lie one after another between offset and the end of text. */
static bool list_fits(const struct plan *plan, uint32_t offset, uint64_t count)
{
	const char *at = plan->text + offset;
	const char *end = plan->text + plan->header->text_len;

	for (; count > 0; count--) {
		if (at >= end)
			return false;
		/* The last byte of text is NUL, so memchr finds one. */
		at = (const char *)memchr(at, '\0', (size_t)(end - at)) + 1;
	}
	return true;
}

static bool blob_fits(const struct plan *plan, uint32_t offset, uint64_t count, uint64_t size)
{
	return offset % 8 == 0 && count <= (plan->header->text_len - offset) / size;
}

static bool step_fits(const struct plan *plan, const struct nb_step *step)
{
	const struct operation *operation;

	if (step->op >= NB_OP_END || !operations[step->op].run)
		return false;
	operation = &operations[step->op];
	for (int i = 0; i < NB_TEXTS; i++) {
		if (step->text[i] >= plan->header->text_len)
			return false;
		if (operation->list_count[i] &&
		    !list_fits(plan, step->text[i], step->num[operation->list_count[i] - 1]))
			return false;
	}
	for (size_t i = 0; i < sizeof(operation->slots); i++)
		if (operation->slots[i] && step->num[operation->slots[i] - 1] >= NB_SLOTS)
			return false;
	if (operation->base && step->num[operation->base - 1] >= NB_SLOTS &&
	    step->num[operation->base - 1] != NB_SLOT_NONE)
		return false;
	if (operation->blob_count &&
	    !blob_fits(plan, step->text[0], step->num[operation->blob_count - 1],
		       operation->blob_size))
		return false;
	return true;
}

/* Accepts the plan only if every operand in it stays inside it. */
static bool plan_fits(struct plan *plan, const char *bytes, size_t size)
{
	const struct nb_header *header = (const void *)bytes;
	size_t steps_size;

	if (size < sizeof(*header) || header->magic != NB_MAGIC || header->version != NB_VERSION)
		return false;
	if (header->steps == 0 || header->steps > NB_MAX_STEPS || header->text_len == 0)
		return false;
	steps_size = (size_t)header->steps * sizeof(struct nb_step);
	if (size != sizeof(*header) + steps_size + header->text_len || bytes[size - 1] != '\0')
		return false;
	plan->header = header;
	plan->steps = (const void *)(bytes + sizeof(*header));
	plan->text = bytes + sizeof(*header) + steps_size;
	for (uint32_t i = 0; i < header->steps; i++)
		if (!step_fits(plan, &plan->steps[i]))
			return false;
	return true;
}

/* Reads the whole plan into memory of its own; NULL with errno on failure. */
static char *read_plan(size_t *size)
{
	struct stat info;
	char *bytes;
	size_t done = 0;

	if (fstat(NB_PLAN_FD, &info) < 0)
		return NULL;
	if (info.st_size <= 0 || info.st_size > NB_MAX_PLAN) {
		errno = EBADMSG;
		return NULL;
	}
	*size = (size_t)info.st_size;
	bytes = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return NULL;
	while (done < *size) {
		ssize_t n = pread(NB_PLAN_FD, bytes + done, *size - done, (off_t)done);

		if (n == 0)
			errno = EBADMSG;
		if (n <= 0)
			return NULL;
		done += (size_t)n;
	}
	return bytes;
}

static int fail(int32_t step, int error)
{
	report.step = step;
	report.err = error;
	return send_report(NB_REPORT_FAILED, -1) < 0 ? 2 : 1;
}

int main(void)
{
	struct plan plan;
	size_t size = 0;
	char *bytes;

	for (int i = 0; i < NB_SLOTS; i++)
		slots[i] = -1;
	/* The caller's mask is no part of the plan: modes are as they are written there. */
	umask(0);
	/* An ignored signal stays ignored through exec, and Python ignores SIGPIPE. */
	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		signal(signal_number, SIG_DFL);
	/* Neither may reach the container: a descriptor of the host is an escape. */
	if (fcntl(NB_PLAN_FD, F_GETFD) < 0 || fcntl(NB_CONTROL_FD, F_GETFD) < 0 ||
	    close_from(NB_PLAN_FD, true) < 0)
		return 2;
	bytes = read_plan(&size);
	if (!bytes)
		return fail(-1, errno);
	close(NB_PLAN_FD);
	if (!plan_fits(&plan, bytes, size))
		return fail(-1, EBADMSG);
	for (uint32_t i = 0; i < plan.header->steps; i++) {
		report.step = (int32_t)i;
		if (operations[plan.steps[i].op].run(&plan, &plan.steps[i]) < 0)
			return fail((int32_t)i, errno);
	}
	return fail(-1, ENOEXEC); /* a plan must end in an exec */
}
