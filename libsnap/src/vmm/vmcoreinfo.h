// SPDX-License-Identifier: Apache-2.0
// What Linux keeps in its memory for those who read its dumps.
#pragma once

#include <atomic>
#include <span>
#include <string>

#include "snap/reader.h"

namespace snap {

/// The text of VMCOREINFO in a page of the regions, the first that is found, or nothing. (Linux writes it into a page of its own:
/// kernel/crash_core.c.) All pages are decoded, on `threads` workers.
Result<std::string> find_vmcoreinfo(Reader& reader, std::span<const std::size_t> regions, unsigned threads, const std::atomic<bool>* cancel);

}  // namespace snap
