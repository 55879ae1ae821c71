/** The SQLite store passes the contract of the port `store`. */
import { storeContract } from "../../contract/store.ts";
import { newSqlitePlace } from "./place.ts";

storeContract("sqlite", newSqlitePlace);
