// SPDX-License-Identifier: Apache-2.0
// The commands of vmsnap. Each says what it takes and answers with what runs it.
#pragma once

#include "options.h"

namespace snap::tool {

Command add_convert(Options& options);
Command add_save(Options& options);
Command add_restore(Options& options);
Command add_info(Options& options);
Command add_check(Options& options);
Command add_compare(Options& options);
Command add_map(Options& options);
Command add_working_set(Options& options);
Command add_flatten(Options& options);
Command add_rebase(Options& options);
Command add_base(Options& options);
Command add_mount(Options& options);
Command add_umount(Options& options);
Command add_bench(Options& options);

}  // namespace snap::tool
