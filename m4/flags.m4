dnl SPDX-License-Identifier: BSD-2-Clause
dnl Compiler and linker flags that are tried before they are used.

dnl MIMEO_PROBE_CFLAGS(VARIABLE, FLAGS)
dnl Appends to VARIABLE each flag with which a small program compiles and links without a warning.
dnl The program includes a header, so that a flag which libc objects to (fortification without
dnl optimisation) counts as refused. The user's CFLAGS take part and are left as they were.
AC_DEFUN([MIMEO_PROBE_CFLAGS], [
mimeo_saved_cflags=$CFLAGS
for mimeo_flag in $2; do
	AC_MSG_CHECKING([whether $CC accepts $mimeo_flag])
	CFLAGS="$mimeo_saved_cflags -Werror $mimeo_flag"
	AC_LINK_IFELSE(
		[AC_LANG_PROGRAM([[#include <stdlib.h>]], [[return getenv("") != NULL;]])],
		[AC_MSG_RESULT([yes])
		AS_VAR_APPEND([$1], [" $mimeo_flag"])],
		[AC_MSG_RESULT([no])])
done
CFLAGS=$mimeo_saved_cflags
])

dnl MIMEO_PROBE_LDFLAGS(VARIABLE, FLAGS)
dnl The same for flags that only the linker sees.
AC_DEFUN([MIMEO_PROBE_LDFLAGS], [
mimeo_saved_ldflags=$LDFLAGS
for mimeo_flag in $2; do
	AC_MSG_CHECKING([whether the linker accepts $mimeo_flag])
	LDFLAGS="$mimeo_saved_ldflags $mimeo_flag"
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes])
		AS_VAR_APPEND([$1], [" $mimeo_flag"])],
		[AC_MSG_RESULT([no])])
done
LDFLAGS=$mimeo_saved_ldflags
])
