//! A real Chromium, told what to do over its DevTools pipe: what it loads, what it shows, how wide it is.

use crate::program::say;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// One page of a browser without a window.
pub struct Browser {
    program: Child,
    told: File,
    says: BufReader<File>,
    session: Option<String>,
    number: u64,
    /// What happened meanwhile.
    pub events: Vec<Value>,
    _folder: TempDir,
}

/// What is told about a screenshot.
#[derive(Debug)]
pub struct Seen {
    /// Mean lightness, 0 to 1.
    pub lightness: f64,
    /// Share of the pixels that differ from the ground.
    pub ink: f64,
    /// Different colours, of a sample.
    pub colours: u64,
    /// How ink lies on a grid of 12 columns and 24 rows, 0 to 1.
    pub grid: Vec<f64>,
}

/// `PIPELINE_TEST_CHROMIUM`, else what Debian and others call it; none, and loudly so, where there is none.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("PIPELINE_TEST_CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        || std::env::split_paths(&path).flat_map(|f| names.map(|name| f.join(name))).find(|file| file.is_file());
    let program = named.or_else(found);
    if program.is_none() {
        say(
            "NOT TESTED: what the report looks like. There is no Chromium: `apt-get install chromium`, as .ci/run does.",
        );
    }
    program
}

impl Browser {
    pub fn open() -> Option<Self> {
        let chromium = chromium()?;
        let folder = tempfile::tempdir().unwrap();
        let (told, says) = (folder.path().join("told"), folder.path().join("says"));
        assert!(Command::new("mkfifo").args([&told, &says]).status().unwrap().success());
        // The pipe is descriptors 3 and 4, which a shell can open.
        let script = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe \
            --no-first-run --disable-background-networking --disable-dev-shm-usage --user-data-dir=\"$1/profile\" \
            about:blank 3<\"$1/told\" 4>\"$1/says\"";
        let program = Command::new("sh")
            .args(["-c", script])
            .arg(chromium)
            .arg(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = File::options().write(true).open(told).unwrap();
        let says = BufReader::new(File::open(says).unwrap());
        let mut browser = Self { program, told, says, session: None, number: 0, events: Vec::new(), _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// One command, and its answer.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.told.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let said = self.next();
            if said["id"] == self.number {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }

    fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.says.read_until(0, &mut bytes).unwrap();
        bytes.pop();
        serde_json::from_slice(&bytes).expect("the browser has ended")
    }

    /// Waits until this happened, and gives it.
    pub fn wait(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
                return self.events.remove(at);
            }
            let said = self.next();
            self.events.push(said);
        }
    }

    /// Loads an address.
    pub fn load(&mut self, url: &str) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("Page.loadEventFired");
    }

    /// The value of an expression of JavaScript, which runs beside the page's own.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// A screen so wide, light or dark, or paper.
    pub fn screen(&mut self, width: u32, scheme: &str, media: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
    }

    /// A picture of the whole page, as base64.
    pub fn picture(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        shot["data"].as_str().unwrap().to_owned()
    }

    /// What a picture shows, looked at by the browser itself, on an empty page.
    pub fn look(&mut self, picture: &str) -> Seen {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": false }));
        self.load("about:blank");
        let look = include_str!("look.js").replace("PICTURE", picture);
        let seen = self.value(&look);
        let number = |name: &str| seen[name].as_f64().unwrap();
        Seen {
            lightness: number("lightness"),
            ink: number("ink"),
            colours: seen["colours"].as_u64().unwrap(),
            grid: seen["grid"].as_array().unwrap().iter().map(|cell| cell.as_f64().unwrap()).collect(),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.told.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
