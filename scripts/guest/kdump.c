// SPDX-License-Identifier: GPL-2.0
/*
 * The user space of a guest that is to crash: it loads a kernel that reads the
 * dump, and ends, which is a panic. Built with the kernel's nolibc.
 */
#include <linux/kexec.h>

static char cmdline[2048];

int main(void)
{
	int kernel = open("/kernel", O_RDONLY);
	int file = open("/cmdline", O_RDONLY);
	long len, ret;

	if (kernel < 0 || file < 0)
		return 1;
	/* It has to end with a zero byte, which counts. */
	len = read(file, cmdline, sizeof(cmdline) - 1);
	if (len < 0)
		return 2;
	ret = syscall(__NR_kexec_file_load, kernel, -1, len + 1, cmdline,
		      KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS);
	return ret ? 3 : 0;
}
