// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include <climits>

namespace snap::view {

std::string file_name(std::string_view name, std::size_t number) {
  constexpr std::size_t kNumberRoom = 24;
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || c == '%' || byte < 0x20 || byte == 0x7F || (c == '.' && text.empty())) {
      text += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      text += c;
    }
  }
  if (text.size() <= NAME_MAX) return text;
  text.resize(NAME_MAX - kNumberRoom);
  return text + "%%" + std::to_string(number);  // "%%" is in no other name
}

}  // namespace snap::view
