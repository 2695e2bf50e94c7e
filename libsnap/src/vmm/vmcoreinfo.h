// SPDX-License-Identifier: Apache-2.0
// What Linux keeps in its memory for those who read its dumps.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "snap/reader.h"

namespace snap {

/// The text of VMCOREINFO in a page of the regions, the first that is found, or nothing. (Linux writes it into a page of its own:
/// kernel/crash_core.c.) All pages are decoded, on `threads` workers.
Result<std::string> find_vmcoreinfo(Reader& reader, std::span<const std::size_t> regions, unsigned threads, const std::atomic<bool>* cancel);

/// What the text says of NUMBER(name); nothing where it does not, or where that is no number.
std::optional<std::int64_t> vmcoreinfo_number(std::string_view text, std::string_view name);
/// Likewise SYMBOL(name): an address.
std::optional<std::uint64_t> vmcoreinfo_symbol(std::string_view text, std::string_view name);
/// And KERNELOFFSET: how far the kernel was moved from where it was linked to.
std::optional<std::uint64_t> vmcoreinfo_kernel_offset(std::string_view text);

}  // namespace snap
