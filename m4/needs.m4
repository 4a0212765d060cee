dnl SPDX-License-Identifier: BSD-2-Clause
dnl Libraries that mimeo cannot do without. What is missing is collected and reported once, by name.

dnl MIMEO_NEED_MODULE(VARIABLE, PKG-CONFIG MODULE, DEBIAN PACKAGE)
dnl Sets VARIABLE_CFLAGS and VARIABLE_LIBS.
AC_DEFUN([MIMEO_NEED_MODULE], [
PKG_CHECK_MODULES([$1], [$2], [], [AS_VAR_APPEND([mimeo_missing], [" $3"])])
])

dnl MIMEO_NEED_LIBRARY(VARIABLE, HEADER, LIBRARY, FUNCTION, DEBIAN PACKAGE)
dnl For a library without a pkg-config file. Sets VARIABLE_LIBS.
AC_DEFUN([MIMEO_NEED_LIBRARY], [
mimeo_found=no
AC_CHECK_HEADER([$2], [AC_CHECK_LIB([$3], [$4], [mimeo_found=yes])], [],
	[#include <stdio.h>
	#include <stdint.h>])
AS_IF([test "$mimeo_found" = yes],
	[AC_SUBST([$1][_LIBS], [-l$3])],
	[AS_VAR_APPEND([mimeo_missing], [" $5"])])
])

dnl MIMEO_NEEDS_REPORT
dnl Ends configure when something is missing and says how to get it.
AC_DEFUN([MIMEO_NEEDS_REPORT], [
AS_IF([test -n "$mimeo_missing"],
	[AC_MSG_ERROR([libraries are missing. On Debian install them with

    apt-get install$mimeo_missing
])])
])
