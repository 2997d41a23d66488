/*
 * The executor's reading of plans under libFuzzer, for as long as one likes:
 *
 *   clang -g -O1 -std=c11 -D_GNU_SOURCE= -fsanitize=fuzzer,address,undefined \
 *       -fno-sanitize-recover=undefined -o /tmp/fuzz tests/executor/fuzz.c
 *   ASAN_OPTIONS=detect_leaks=0 /tmp/fuzz -reload=0 -max_total_time=300
 *
 * Each step of an accepted plan is executed too, under a filter that refuses every system call with
 * an effect: what is tested is which bytes of the plan the steps touch.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int executor_main(void);

/* A failed exec step leaves its memory mapped, since the executor ends then; here the next one
 * gives it back. */
static void *map_once(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	static void *last;
	static size_t last_size;

	if (last)
		munmap(last, last_size);
	last = mmap(at, size, protection, flags, fd, offset);
	last_size = size;
	if (last != MAP_FAILED)
		return last;
	last = NULL;
	return MAP_FAILED;
}
#define mmap map_once

#define main executor_main
#include "../../nestbox/executor/init.c"
#undef main
#include "../../nestbox/executor/control.c"
#include "../../nestbox/executor/ops_attributes.c"
#include "../../nestbox/executor/ops_console.c"
#include "../../nestbox/executor/ops_copy.c"
#include "../../nestbox/executor/ops_device.c"
#include "../../nestbox/executor/ops_enter.c"
#include "../../nestbox/executor/ops_exec.c"
#include "../../nestbox/executor/ops_fuse.c"
#include "../../nestbox/executor/ops_hook.c"
#include "../../nestbox/executor/ops_mount.c"
#include "../../nestbox/executor/ops_namespace.c"
#include "../../nestbox/executor/ops_process.c"
#include "../../nestbox/executor/ops_rights.c"
#include "../../nestbox/executor/ops_root.c"
#include "../../nestbox/executor/ops_sched.c"
#include "../../nestbox/executor/ops_tree.c"

/* What libFuzzer and the sanitizers themselves need, and nothing that could do harm. */
static const unsigned short allowed[] = {
	SYS_read,	  SYS_write,	    SYS_close,
	SYS_mmap,	  SYS_munmap,	    SYS_mprotect,
	SYS_madvise,	  SYS_futex,	    SYS_clock_gettime,
	SYS_exit,	  SYS_exit_group,   SYS_getpid,
	SYS_gettid,	  SYS_tgkill,	    SYS_sigaltstack,
	SYS_getrusage,	  SYS_rt_sigaction, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_sched_yield,  SYS_restart_syscall,
	SYS_capget,	  SYS_openat,	    SYS_lseek,
	SYS_fstat,
};

enum { COUNT = sizeof(allowed) / sizeof(*allowed) };

static void refuse_effects(void)
{
	struct sock_filter filter[COUNT + 3];
	struct sock_fprog program = { .len = COUNT + 3, .filter = filter };

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (unsigned char i = 0; i < COUNT; i++)
		filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
							     (unsigned char)(COUNT - i), 0);
	filter[COUNT + 1] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	filter[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool refused;
	struct plan plan;
	/* Of the exact size, and aligned as mmap does. */
	char *bytes = malloc(size ? size : 1);

	if (!refused)
		refuse_effects();
	refused = true;
	if (!bytes)
		return 0;
	memcpy(bytes, data, size);
	for (int i = 0; i < NB_SLOTS; i++)
		slots[i] = -1;
	if (plan_fits(&plan, bytes, size))
		for (uint32_t i = 0; i < plan.header->steps; i++)
			operations[plan.steps[i].op].run(&plan, &plan.steps[i]);
	for (uint64_t i = 0; i < NB_SLOTS; i++)
		set_slot(i, -1);
	free(bytes);
	return 0;
}
