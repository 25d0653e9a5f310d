// spdlog's asynchronous logger, which waits while its queue of 8,192 messages is full: `spdlog_async KEY=VALUE…`, as the
// contenders in Rust. The message is the line, formatted by fmt; nothing is escaped. Ids are random, not ordered.

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

static double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](timeval time) { return time.tv_sec + time.tv_usec / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Makes ids and times of one thread; the text of a second is kept.
class Stamper {
    std::mt19937_64 random{std::random_device{}()};
    std::time_t second = 0;
    std::string second_text;

  public:
    std::string time() {
        auto now = std::chrono::system_clock::now().time_since_epoch();
        auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
        if (std::time_t seconds = micros / 1000000; seconds != second) {
            char text[32];
            std::tm parts{};
            gmtime_r(&seconds, &parts);
            std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
            second = seconds;
            second_text = text;
        }
        return fmt::format("{}.{:06}+00:00", second_text, micros % 1000000);
    }

    std::string id() {
        auto high = random(), low = random();
        return fmt::format("{:08x}-{:04x}-7{:03x}-a{:03x}-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xfff, low >> 48 & 0xfff,
                           low & 0xffffffffffff);
    }
};

struct Permission {
    const char *action = "update", *manager = "Project", *user_id = "4217";
    std::vector<std::string> attributes{"status", "owner"}, permissions{"isAdmin", "isProjectOwner:status"};
    bool granted = false, bypassed = false;
    const char *metadata =
        R"({"request_id":"0f8fad5b-d9cb-469f-a165-70867728950e","ip":"203.0.113.7","path":"/graphql/"})";
};

static void record(spdlog::logger &logger, Stamper &stamper, const Permission &event) {
    logger.info(
        R"({{"event_id":"{}","timestamp":"{}","action":"{}","attributes":["{}"],"granted":{},"bypassed":{},"manager":"{}","user_id":"{}","user":null,"permissions":["{}"],"metadata":{}}})",
        stamper.id(), stamper.time(), event.action, fmt::join(event.attributes, "\",\""), event.granted, event.bypassed,
        event.manager, event.user_id, fmt::join(event.permissions, "\",\""), event.metadata);
}

int main(int count, char **words) {
    std::map<std::string, std::string> said{{"producers", "1"}, {"events", "100000"}, {"pace", "full"}, {"timed", "0"}};
    for (int word = 1; word < count; ++word) {
        std::string text = words[word];
        if (auto at = text.find('='); at != std::string::npos) said[text.substr(0, at)] = text.substr(at + 1);
    }
    const long producers = std::stol(said["producers"]), each = std::stol(said["events"]) / producers;
    const bool timed = said["timed"] == "1";
    const double rate = said["pace"] == "full" ? 0 : std::stod(said["pace"].substr(said["pace"].find(':') + 1));

    spdlog::init_thread_pool(8192, 1);
    auto logger = spdlog::basic_logger_mt<spdlog::async_factory>("audit", said["out"], true);
    logger->set_pattern("%v");

    std::vector<std::vector<unsigned>> durations(producers);
    const double cpu = cpu_seconds();
    const auto started = Clock::now();
    std::vector<std::thread> threads;
    for (long number = 0; number < producers; ++number) {
        threads.emplace_back([&, number] {
            Stamper stamper;
            Permission event;
            if (timed) durations[number].reserve(each);
            const double period = rate > 0 ? 1e9 * producers / rate : 0;
            for (long event_number = 0; event_number < each; ++event_number) {
                const auto due = std::chrono::nanoseconds(long(period * (event_number + double(number) / producers)));
                while (Clock::now() - started < due) std::this_thread::yield();
                if (!timed) {
                    record(*logger, stamper, event);
                    continue;
                }
                const auto begin = Clock::now();
                record(*logger, stamper, event);
                durations[number].push_back(std::chrono::nanoseconds(Clock::now() - begin).count());
            }
        });
    }
    for (auto &thread : threads) thread.join();
    logger.reset();
    spdlog::shutdown();
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();

    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::string latency = "null";
    std::vector<unsigned> all;
    for (auto &some : durations) all.insert(all.end(), some.begin(), some.end());
    if (!all.empty()) {
        std::sort(all.begin(), all.end());
        auto at = [&](double quantile) { return all[std::min(all.size() - 1, size_t(quantile * all.size()))]; };
        latency = fmt::format(R"({{"p50":{},"p99":{},"p999":{},"max":{}}})", at(0.5), at(0.99), at(0.999), all.back());
    }
    fmt::print("{{\"events\":{},\"seconds\":{},\"cpu_seconds\":{},\"peak_kib\":{},\"latency\":{}}}\n", each * producers, seconds,
               cpu_seconds() - cpu, usage.ru_maxrss, latency);
}
