/*
 * The trial of a link between two networks: made in a network namespace of the
 * child's own, with which it goes.
 */
#include "compat.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "trial_child.h"
#include "trials.h"

/* RTM_NEWLINK of the kind veth, whose other end and names the kernel chooses. */
struct new_link {
	struct nlmsghdr header;
	struct ifinfomsg link;
	struct rtattr info; /* IFLA_LINKINFO, with the next one in it */
	struct rtattr kind; /* IFLA_INFO_KIND */
	char name[4];
};

struct answer {
	struct nlmsghdr header;
	struct nlmsgerr error;
	char rest[512];
};

static int32_t ask_for_link(int fd)
{
	const struct new_link request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_NEWLINK,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL },
		.info = { .rta_len = sizeof(request) - offsetof(struct new_link, info),
			  .rta_type = IFLA_LINKINFO },
		.kind = { .rta_len = RTA_LENGTH(sizeof(request.name)), .rta_type = IFLA_INFO_KIND },
		.name = { 'v', 'e', 't', 'h' },
	};
	struct answer answer;

	if (send(fd, &request, sizeof(request), 0) < 0)
		return errno;
	if (recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)))
		return errno == 0 ? EPROTO : errno;
	return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
}

static void run_link(struct page *page, const struct trial *trial)
{
	int fd;

	(void)trial;
	page->results[0] = nb_errno_of(syscall(SYS_unshare, CLONE_NEWNET));
	if (page->results[0] != 0)
		return;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	page->results[0] = fd < 0 ? errno : ask_for_link(fd);
}

int32_t nb_try_link(int32_t limit_ms)
{
	const struct trial trial = { .run = run_link };
	struct page *page = nb_new_page();
	int32_t result;

	if (page == NULL)
		return -errno;
	page->results[0] = EPROTO; /* until the child says otherwise */
	result = nb_run_child(page, &trial, limit_ms);
	if (result == 0)
		result = page->results[0];
	nb_free_page(page);
	return result;
}
