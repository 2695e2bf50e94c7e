// SPDX-License-Identifier: Apache-2.0
// Metadata values that imports write and exports read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "snap/reader.h"

namespace snap {

/// A metadata value is UTF-8 without zero bytes; other bytes of a foreign name become %XX.
std::string metadata_text(std::string_view foreign);
/// Nothing where there is no such key, or its value is no decimal number.
std::optional<std::uint32_t> metadata_number(const Reader& reader, std::string_view key);

}  // namespace snap
